//! Data sets: two that are built in, MNIST from a folder, and one's own.
//!
//! A [`Dataset`] is features and labels, split into a part to train on and a part to test on. The
//! built-in sets are split by a seed; MNIST keeps the split of its files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backprop_core::array::Buffer;
use backprop_core::{Array, DType, Element, Seed};
use backprop_io::{IoError, csv, idx};

use crate::batches::{Batches, rows};
use crate::metrics::is_classes;

/// Of each class, the part that is held out for the test.
const HELD_OUT: f64 = 0.2;

/// Labelled examples, split into training and test.
///
/// The sets that come with the library hold f32 \[n, features\] and class numbers i64 \[n\];
/// [`Dataset::new`] takes any features and targets that a network and its loss can use.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// `digits`, `iris`, `mnist` or `data`.
    pub name: &'static str,
    /// Training features \[n, ..\].
    pub train_x: Array,
    /// Training targets \[n, ..\]; class numbers are i64 \[n\], each in 0..classes.
    pub train_y: Array,
    /// Test features \[m, ..\]; m may be 0.
    pub test_x: Array,
    /// Test targets \[m, ..\].
    pub test_y: Array,
    /// The number of classes; 0 if the targets are no class numbers.
    pub classes: usize,
    /// What a feature's value is, and how it was scaled.
    pub feature_scale: &'static str,
}

/// Why a data set could not be read. One line, with the file and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// A file is damaged or cannot be read.
    Io(IoError),
    /// None of the names under which a file may stand is there.
    Missing {
        /// The folder.
        folder: PathBuf,
        /// Every name that was looked for.
        looked_for: Vec<String>,
    },
    /// The files are well-formed, but are not what the data set consists of.
    Content {
        /// The file.
        file: String,
        /// What is wrong, and where.
        what: String,
    },
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataError::Io(error) => error.fmt(f),
            DataError::Missing { folder, looked_for } => {
                let shown = folder.display();
                match std::fs::metadata(folder) {
                    Err(_) => write!(f, "{shown}: there is no such folder"),
                    Ok(at) if !at.is_dir() => {
                        write!(f, "{shown}: this is a file: give the folder of MNIST's four files")
                    }
                    Ok(_) => write!(f, "{shown}: no data file; looked for {}", looked_for.join(", ")),
                }
            }
            DataError::Content { file, what } => write!(f, "{file}: {what}"),
        }
    }
}

impl std::error::Error for DataError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DataError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<IoError> for DataError {
    fn from(error: IoError) -> DataError {
        DataError::Io(error)
    }
}

impl Dataset {
    /// Data of one's own: features and targets to train on, and those to test on, if there are any.
    /// Their first axes count examples. Targets i64 \[n\] are class numbers.
    ///
    /// ```
    /// use backprop_core::Array;
    /// use backprop_train::data::Dataset;
    /// let x = Array::new([4, 1], vec![0.0f32, 1.0, 2.0, 3.0])?;
    /// let y = Array::new([4, 1], vec![1.0f32, 3.0, 5.0, 7.0])?;
    /// let line = Dataset::new([x, y], None);
    /// assert_eq!(line.features(), 1);
    /// # Ok::<(), backprop_core::ArrayError>(())
    /// ```
    pub fn new([train_x, train_y]: [Array; 2], test: Option<[Array; 2]>) -> Dataset {
        let [test_x, test_y] = test.unwrap_or_else(|| [&train_x, &train_y].map(|all| rows(all, &[])));
        let classes = match is_classes(&train_y) {
            true => train_y.to_i64s().into_iter().max().map_or(0, |largest| (largest.max(-1) + 1) as usize),
            false => 0,
        };
        Dataset { name: "data", train_x, train_y, test_x, test_y, classes, feature_scale: "as given" }
    }

    /// 1,797 handwritten digits, 8×8 pixels scaled to 0..1; the test set is a fifth of each
    /// class, chosen by `seed`: one seed names the same split on every machine.
    ///
    /// E. Alpaydin, C. Kaynak (1998), UCI Machine Learning Repository, CC BY 4.0.
    ///
    /// # Errors
    /// None in practice: the data is part of the program.
    ///
    /// ```
    /// use backprop_train::data::Dataset;
    /// let digits = Dataset::digits(0)?;
    /// assert_eq!((digits.train_x.sizes(), digits.test_x.sizes()), (&[1438, 64][..], &[359, 64][..]));
    /// # Ok::<(), backprop_train::data::DataError>(())
    /// ```
    pub fn digits(seed: u64) -> Result<Dataset, DataError> {
        let (x, y) =
            table("digits.csv.gz", include_bytes!("../data/digits.csv.gz"), csv::Header::Absent, 16.0, 10)?;
        Ok(Dataset::split("digits", x, y, 10, "pixel darkness 0..16, divided by 16: 0 to 1", seed))
    }

    /// 150 flowers of three species, four measurements each; the test set is a fifth of each
    /// class, chosen by `seed`: one seed names the same split on every machine.
    ///
    /// R. A. Fisher (1936).
    ///
    /// # Errors
    /// None in practice: the data is part of the program.
    pub fn iris(seed: u64) -> Result<Dataset, DataError> {
        let (x, y) = table("iris.csv", include_bytes!("../data/iris.csv"), csv::Header::Present, 8.0, 3)?;
        let scale = "length and width of sepal and petal in cm (at most 7.9), divided by 8: 0 to 1";
        Ok(Dataset::split("iris", x, y, 3, scale, seed))
    }

    /// MNIST from a folder of its four IDX files, plain or gzip: 28×28 pixels scaled to 0..1, the first
    /// `train` files for training, the `t10k` files for the test.
    ///
    /// # Errors
    /// A file is missing, damaged or truncated; images are not 28×28; there are not as many labels as
    /// images; a label is not 0 to 9.
    pub fn mnist(folder: impl AsRef<Path>) -> Result<Dataset, DataError> {
        let folder = folder.as_ref();
        let (train_x, train_y) = mnist_part(folder, "train")?;
        let (test_x, test_y) = mnist_part(folder, "t10k")?;
        let feature_scale = "pixel darkness 0..255, divided by 255: 0 to 1";
        Ok(Dataset { name: "mnist", train_x, train_y, test_x, test_y, classes: 10, feature_scale })
    }

    /// The training examples of epoch `epoch`, from 0, shuffled: features and targets, `batch` (at
    /// least one) at a time; the last batch may be smaller. See [`Batches`] for the order.
    ///
    /// ```
    /// use backprop_core::Seed;
    /// use backprop_train::data::Dataset;
    /// let iris = Dataset::iris(0)?;
    /// for [x, y] in iris.batches(50, Seed(1), 0) {
    ///     assert_eq!((&x.sizes()[1..], y.rank()), (&[4][..], 1));
    /// }
    /// assert_eq!(iris.batches(50, Seed(1), 0).count(), 3);
    /// # Ok::<(), backprop_train::data::DataError>(())
    /// ```
    pub fn batches(&self, batch: usize, seed: Seed, epoch: u32) -> impl Iterator<Item = [Array; 2]> + '_ {
        let n = [&self.train_x, &self.train_y].map(|all| all.sizes().first().copied().unwrap_or(0));
        let chosen = Batches::new(n[0].min(n[1]), batch, seed, epoch);
        chosen.map(|chosen| [rows(&self.train_x, &chosen), rows(&self.train_y, &chosen)])
    }

    /// The number of features of an example.
    pub fn features(&self) -> usize {
        self.train_x.sizes().get(1).copied().unwrap_or(0)
    }

    /// Holds out a fifth of each class (rounded to whole examples). One `SplitMix64` stream of `seed`
    /// shuffles the examples of class 0, then of class 1, ...; the first of each are the test set; then
    /// it shuffles the training set and the test set. So a seed names the same split everywhere.
    fn split(
        name: &'static str,
        x: Array,
        y: Vec<i64>,
        classes: usize,
        feature_scale: &'static str,
        seed: u64,
    ) -> Dataset {
        let mut random = SplitMix64(seed);
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for class in 0..classes as i64 {
            let mut members: Vec<usize> = (0..y.len()).filter(|&i| y[i] == class).collect();
            random.shuffle(&mut members);
            let held_out = (members.len() as f64 * HELD_OUT).round() as usize;
            test.extend_from_slice(&members[..held_out]);
            train.extend_from_slice(&members[held_out..]);
        }
        random.shuffle(&mut train);
        random.shuffle(&mut test);
        let columns = x.sizes()[1];
        let rows = |of: &[usize]| x.pick(&[of.len(), columns], |i| of[i / columns] * columns + i % columns);
        let labels = |of: &[usize]| Array::vector(of.iter().map(|&i| y[i]).collect::<Vec<_>>());
        let (train_x, train_y) = (rows(&train), labels(&train));
        let (test_x, test_y) = (rows(&test), labels(&test));
        Dataset { name, train_x, train_y, test_x, test_y, classes, feature_scale }
    }
}

/// Features divided by `scale` and labels from a table whose last column is the label.
fn table(
    file: &str,
    bytes: &[u8],
    header: csv::Header,
    scale: f64,
    classes: usize,
) -> Result<(Array, Vec<i64>), DataError> {
    let values = csv::parse(bytes, header)?.values;
    let columns = values.sizes()[1];
    let numbers = values.to_f64s();
    let labels: Vec<f64> = numbers.iter().skip(columns - 1).step_by(columns).copied().collect();
    check_labels(file, &labels, classes)?;
    let features = columns - 1;
    let scaled = values.pick(&[labels.len(), features], |i| i / features * columns + i % features);
    let scaled: Vec<f32> = scaled.to_f64s().iter().map(|x| (x / scale) as f32).collect();
    let content = |error: backprop_core::ArrayError| content(file, error.to_string());
    let x = Array::new([labels.len(), features], scaled).map_err(content)?;
    Ok((x, labels.iter().map(|&label| label as i64).collect()))
}

fn mnist_part(folder: &Path, part: &str) -> Result<(Array, Array), DataError> {
    let (images_file, images) = load_idx(folder, &format!("{part}-images"), "idx3-ubyte")?;
    let (labels_file, labels) = load_idx(folder, &format!("{part}-labels"), "idx1-ubyte")?;
    let &[count, 28, 28] = images.sizes() else {
        let what = format!("expected images of sizes [n, 28, 28], found {:?}", images.sizes());
        return Err(content(&images_file, what));
    };
    if labels.sizes() != [count] {
        let what = format!("expected one label for each of the {count} images, found {:?}", labels.sizes());
        return Err(content(&labels_file, what));
    }
    if count == 0 {
        return Err(content(&images_file, "there are no images".to_string()));
    }
    check_labels(&labels_file, &labels.to_f64s(), 10)?;
    let as_content = |error: backprop_core::ArrayError| content(&images_file, error.to_string());
    let pixels = images.slice::<u8>().map_err(as_content)?;
    // On large pages: batches take rows from anywhere in it (12 µs for 32 rows, on small ones 17; Zen 4).
    let scaled: Buffer<f32> = pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    let x = Array::from_parts([count, 28 * 28].into_iter().collect(), f32::wrap(Arc::new(scaled)));
    Ok((x, labels.cast(DType::I64)))
}

/// The file under any of its names, and the name for errors.
fn load_idx(folder: &Path, stem: &str, kind: &str) -> Result<(String, Array), DataError> {
    // The original files, and the names that some mirrors and unpackers give them.
    let names: Vec<String> = ["-", "."]
        .iter()
        .flat_map(|dash| ["", ".gz"].map(|end| format!("{stem}{dash}{kind}{end}")))
        .collect();
    let found = names.iter().map(|name| folder.join(name)).find(|path| path.exists());
    let Some(path) = found else {
        return Err(DataError::Missing { folder: folder.to_path_buf(), looked_for: names });
    };
    Ok((path.display().to_string(), idx::load(&path)?))
}

fn check_labels(file: &str, labels: &[f64], classes: usize) -> Result<(), DataError> {
    let valid = |label: f64| label.fract() == 0.0 && (0.0..classes as f64).contains(&label);
    match labels.iter().position(|&label| !valid(label)) {
        None => Ok(()),
        Some(at) => {
            let what = format!(
                "label {} of example {at} is out of range: expected 0 to {}",
                labels[at],
                classes - 1
            );
            Err(content(file, what))
        }
    }
}

fn content(file: &str, what: String) -> DataError {
    DataError::Content { file: file.to_string(), what }
}

/// SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators" (2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in 0..n: the high half of a 64×64-bit product. Its bias, below n/2⁶⁴, is beside the point.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Fisher and Yates, from the last element to the second.
    fn shuffle(&mut self, values: &mut [usize]) {
        for last in (1..values.len()).rev() {
            let other = self.below(last + 1);
            values.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix_64_gives_its_published_numbers() {
        // The first outputs for seed 1234567, as in Rosetta Code's test of the reference program.
        let mut random = SplitMix64(1234567);
        let expect = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431];
        assert_eq!(expect.map(|_| random.next()), expect);
    }
}
