//! What is said and kept of a training run: lines, JSON, `metrics.csv`, `curves.svg`.

use std::sync::Arc;
use std::time::Instant;

use backprop_draw::{Chart, Panel, Series, chart_svg};
use backprop_train::{Epoch, Evaluation};
use serde_json::json;

use crate::failure::Failure;
use crate::live::Live;
use crate::talk::print;

/// A run so far.
pub struct Report {
    title: String,
    json: bool,
    live: Arc<Live>,
    begun: Instant,
    epochs: Vec<Epoch>,
    /// Why nothing is printed any more. The training goes on: the run directory is what it is for.
    silenced: Option<Failure>,
}

impl Report {
    /// A run that begins now.
    pub fn new(title: String, json: bool) -> Report {
        let (live, begun) = (Arc::new(Live::new()), Instant::now());
        Report { title, json, live, begun, epochs: Vec::new(), silenced: None }
    }

    /// What shows an epoch that is under way.
    pub fn watch(&self) -> Arc<dyn Fn(&Epoch) + Send + Sync> {
        let (live, begun) = (Arc::clone(&self.live), self.begun);
        Arc::new(move |so_far| live.show(|| line(so_far, begun)))
    }

    /// After each epoch: a line on stderr, and with `--json` an object on stdout.
    pub fn epoch(&mut self, epoch: &Epoch) {
        self.epochs.push(epoch.clone());
        self.live.end(&line(epoch, self.begun));
        if !self.json || self.silenced.is_some() {
            return;
        }
        let printed = print(json!({
            "epoch": epoch.epoch,
            "loss": epoch.train_loss,
            "accuracy": epoch.train_accuracy,
            "test_loss": epoch.test.map(|test| test.loss),
            "test_accuracy": epoch.test.map(|test| test.accuracy),
            "lr": epoch.lr,
            "samples_per_second": epoch.samples_per_second,
            "seconds": self.seconds(),
        }));
        self.silenced = printed.err();
    }

    /// Seconds of training, without evaluation.
    fn seconds(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.seconds).sum()
    }

    /// How the test examples were classified at last.
    pub fn tested(&self) -> Option<Evaluation> {
        self.epochs.last().and_then(|epoch| epoch.test)
    }

    /// At the end: the test, on stdout.
    pub fn close(self, tested: Evaluation, hash: &str) -> Result<(), Failure> {
        if let Some(failure) = self.silenced {
            return Err(failure);
        }
        let (Evaluation { loss, accuracy }, seconds) = (tested, self.seconds());
        match self.json {
            true => print(json!({
                "test_accuracy": accuracy, "test_loss": loss, "seconds": seconds, "weights_sha256": hash,
            })),
            false => {
                print(format!("test accuracy {accuracy:.4}  test loss {loss:.4}  training {seconds:.1} s"))
            }
        }
    }

    /// `metrics.csv`
    pub fn csv(&self) -> String {
        let mut text =
            String::from("epoch,loss,accuracy,test_loss,test_accuracy,lr,seconds,samples_per_second\n");
        for epoch in &self.epochs {
            let test = epoch.test.map_or(",".to_string(), |test| format!("{},{}", test.loss, test.accuracy));
            let Epoch { epoch, train_loss, train_accuracy, lr, seconds, samples_per_second, .. } = epoch;
            text.push_str(&format!(
                "{epoch},{train_loss},{train_accuracy},{test},{lr},{seconds:.3},{samples_per_second:.0}\n"
            ));
        }
        text
    }

    /// `curves.svg`
    pub fn curves(&self) -> String {
        let series = |name: &str, value: &dyn Fn(&Epoch) -> Option<f64>| Series {
            name: name.to_string(),
            points: self
                .epochs
                .iter()
                .filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?)))
                .collect(),
        };
        let loss = vec![
            series("training", &|epoch| Some(epoch.train_loss)),
            series("test", &|epoch| Some(epoch.test?.loss)),
        ];
        let accuracy = vec![
            series("training", &|epoch| Some(epoch.train_accuracy)),
            series("test", &|epoch| Some(epoch.test?.accuracy)),
        ];
        chart_svg(&Chart {
            title: self.title.clone(),
            x_label: "epoch".to_string(),
            panels: vec![
                Panel { y_label: "loss".to_string(), log_y: true, series: loss },
                Panel { y_label: "accuracy".to_string(), log_y: false, series: accuracy },
            ],
        })
    }
}

/// `epoch  3/30  loss 0.2312  accuracy 0.9341  test 0.9302   41k samples/s  ETA 0:12`
fn line(epoch: &Epoch, begun: Instant) -> String {
    let Epoch { epoch: n, epochs, train_loss, train_accuracy, samples_per_second, test, .. } = epoch;
    let width = epochs.to_string().len();
    let left = begun.elapsed().as_secs_f64() / epoch.step as f64 * (epoch.steps - epoch.step) as f64;
    let test = test.map_or(String::new(), |test| format!("  test {:.4}", test.accuracy));
    let (speed, left) = (thousands(*samples_per_second), clock(left));
    // 80 columns, up to 99 epochs.
    format!(
        "epoch {n:>width$}/{epochs}  loss {train_loss:.4}  accuracy {train_accuracy:.4}{test}  {speed:>4} samples/s  ETA {left}"
    )
}

/// `147k`, `1.2k`, `98`
fn thousands(x: f64) -> String {
    match x {
        x if x < 1e3 => format!("{x:.0}"),
        x if x < 1e4 => format!("{:.1}k", x / 1e3),
        x => format!("{:.0}k", x / 1e3),
    }
}

/// `1:02:03`, `0:12`
fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn speeds_are_short() {
        let check = |x: f64, expect: &str| assert_eq!(super::thousands(x), expect);
        check(0.0, "0");
        check(98.4, "98");
        check(1234.0, "1.2k");
        check(146_674.0, "147k");
    }

    #[test]
    fn the_clock_has_hours_where_there_are_some() {
        let check = |seconds: f64, expect: &str| assert_eq!(super::clock(seconds), expect);
        check(0.2, "0:00");
        check(61.6, "1:02");
        check(3723.0, "1:02:03");
    }
}
