//! What is said and kept of a training run: lines, JSON, `metrics.csv`, `curves.svg`.

use std::time::Instant;

use backprop_draw::{Chart, Panel, Series, chart_svg};
use backprop_train::{Epoch, Evaluation};
use serde_json::json;

use crate::failure::Failure;
use crate::network::grouped;
use crate::talk::{print, say};

/// A run so far.
pub struct Report {
    title: String,
    json: bool,
    begun: Instant,
    epochs: Vec<Epoch>,
}

impl Report {
    /// A run that begins now.
    pub fn new(title: String, json: bool) -> Report {
        Report { title, json, begun: Instant::now(), epochs: Vec::new() }
    }

    /// After each epoch: a line on stderr, and with `--json` an object on stdout.
    pub fn epoch(&mut self, epoch: &Epoch) -> Result<(), Failure> {
        self.epochs.push(epoch.clone());
        say(self.line(epoch));
        if !self.json {
            return Ok(());
        }
        print(json!({
            "epoch": epoch.epoch,
            "loss": epoch.train_loss,
            "accuracy": epoch.train_accuracy,
            "test_loss": epoch.test.map(|test| test.loss),
            "test_accuracy": epoch.test.map(|test| test.accuracy),
            "lr": epoch.lr,
            "samples_per_second": epoch.samples_per_second,
            "seconds": self.seconds(),
        }))
    }

    /// `epoch  3/30  loss 0.2312  accuracy 0.9341  test 0.9302  41,023 samples/s  ETA 0:12`
    fn line(&self, epoch: &Epoch) -> String {
        let Epoch { epoch: n, epochs, train_loss, train_accuracy, samples_per_second, test, .. } = epoch;
        let width = epochs.to_string().len();
        let left = self.begun.elapsed().as_secs_f64() / *n as f64 * (epochs - n) as f64;
        let test = test.map_or(String::new(), |test| format!("  test {:.4}", test.accuracy));
        let speed = grouped(*samples_per_second as usize);
        format!(
            "epoch {n:>width$}/{epochs}  loss {train_loss:.4}  accuracy {train_accuracy:.4}{test}  {speed:>9} samples/s  ETA {}",
            clock(left)
        )
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
    pub fn close(&self, tested: Evaluation, hash: &str) -> Result<(), Failure> {
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
    fn the_clock_has_hours_where_there_are_some() {
        let check = |seconds: f64, expect: &str| assert_eq!(super::clock(seconds), expect);
        check(0.2, "0:00");
        check(61.6, "1:02");
        check(3723.0, "1:02:03");
    }
}
