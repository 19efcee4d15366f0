//! Data sets: what they hold, how they are split, and what is said of files that are wrong.

use std::path::{Path, PathBuf};

use backprop_train::data::Dataset;

/// How many labels of each class there are.
fn histogram(labels: &backprop_core::Array, classes: usize) -> Vec<usize> {
    let labels = labels.to_i64s();
    (0..classes as i64).map(|class| labels.iter().filter(|&&label| label == class).count()).collect()
}

#[test]
fn digits_hold_a_fifth_of_each_class_out() {
    let digits = Dataset::digits(0).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(digits.train_x.sizes(), [1438, 64]);
    assert_eq!(digits.test_x.sizes(), [359, 64]);
    assert_eq!(digits.features(), 64);
    // The class counts that the data set's description states.
    let all = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180];
    let (train, test) = (histogram(&digits.train_y, 10), histogram(&digits.test_y, 10));
    for class in 0..10 {
        assert_eq!(train[class] + test[class], all[class]);
        assert_eq!(test[class], (all[class] as f64 * 0.2).round() as usize);
    }
    let pixels = [digits.train_x.to_f64s(), digits.test_x.to_f64s()].concat();
    assert!(pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel) && (pixel * 16.0).fract() == 0.0));
    assert!(pixels.contains(&1.0));
    // The sum of scikit-learn's load_digits().data.
    assert_eq!(pixels.iter().sum::<f64>() * 16.0, 561718.0);
}

#[test]
fn iris_holds_ten_of_each_class_out() {
    let iris = Dataset::iris(3).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((iris.train_x.sizes(), iris.test_x.sizes()), (&[120, 4][..], &[30, 4][..]));
    assert_eq!((histogram(&iris.train_y, 3), histogram(&iris.test_y, 3)), (vec![40; 3], vec![10; 3]));
    // The sum of scikit-learn's load_iris().data.
    let sum: f64 = [iris.train_x.to_f64s(), iris.test_x.to_f64s()].concat().iter().sum();
    assert!((sum * 8.0 - 2078.7).abs() < 1e-3, "{sum}");
}

#[test]
fn a_seed_names_one_split() {
    let digits = |seed| Dataset::digits(seed).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(digits(7), digits(7));
    assert_ne!(digits(7).test_x, digits(8).test_x);
    // Shuffled: neither part is sorted by class.
    let first: Vec<i64> = digits(0).train_y.to_i64s()[..20].to_vec();
    assert!(!first.is_sorted(), "{first:?}");
}

/// A folder of the four MNIST files, and gone with the test.
struct Mnist(PathBuf);

impl Mnist {
    fn new(test: &str) -> Mnist {
        let folder = std::env::temp_dir().join(format!("backprop-train-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let mnist = Mnist(folder);
        for (part, count) in [("train", 3), ("t10k", 2)] {
            mnist.write(&format!("{part}-images-idx3-ubyte"), &idx(&[count, 28, 28], |i| (i % 256) as u8));
            mnist.write(&format!("{part}-labels-idx1-ubyte"), &idx(&[count], |i| 9 - i as u8));
        }
        mnist
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).expect("a file");
    }

    fn error(&self) -> String {
        match Dataset::mnist(&self.0) {
            Ok(_) => "no error".to_string(),
            Err(error) => {
                let text = error.to_string().replace(&format!("{}/", self.0.display()), "");
                text.replace(&self.0.display().to_string(), "FOLDER")
            }
        }
    }
}

impl Drop for Mnist {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn idx(sizes: &[u32], element: impl Fn(usize) -> u8) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend((0..sizes.iter().product::<u32>() as usize).map(element));
    bytes
}

#[test]
fn mnist_is_read_from_its_four_files() {
    let mnist = Mnist::new("good");
    let data = Dataset::mnist(&mnist.0).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((data.train_x.sizes(), data.test_x.sizes()), (&[3, 784][..], &[2, 784][..]));
    assert_eq!((data.train_y.to_i64s(), data.test_y.to_i64s()), (vec![9, 8, 7], vec![9, 8]));
    let pixels = data.train_x.slice::<f32>().expect("f32");
    assert_eq!((pixels[0], pixels[51], pixels[255]), (0.0, 0.2, 1.0));
}

#[test]
fn wrong_mnist_files_are_one_clear_line() {
    let check = |test: &str, break_it: &dyn Fn(&Mnist), expect: &str| {
        let mnist = Mnist::new(test);
        break_it(&mnist);
        assert_eq!(mnist.error(), expect);
    };
    let remove = |mnist: &Mnist, name: &str| std::fs::remove_file(mnist.0.join(name)).expect("the file");
    check(
        "missing",
        &|mnist| remove(mnist, "t10k-labels-idx1-ubyte"),
        "FOLDER: no data file; looked for t10k-labels-idx1-ubyte, t10k-labels-idx1-ubyte.gz, \
         t10k-labels.idx1-ubyte, t10k-labels.idx1-ubyte.gz",
    );
    check(
        "truncated",
        &|mnist| mnist.write("train-images-idx3-ubyte", &idx(&[3, 28, 28], |_| 0)[..1000]),
        "train-images-idx3-ubyte: byte 16: the header claims u8[3, 28, 28], 2352 bytes, but only 984 follow",
    );
    check(
        "range",
        &|mnist| mnist.write("train-labels-idx1-ubyte", &idx(&[3], |i| [1, 10, 2][i])),
        "train-labels-idx1-ubyte: label 10 of example 1 is out of range: expected 0 to 9",
    );
    check(
        "count",
        &|mnist| mnist.write("t10k-labels-idx1-ubyte", &idx(&[3], |_| 0)),
        "t10k-labels-idx1-ubyte: expected one label for each of the 2 images, found [3]",
    );
    check(
        "sizes",
        &|mnist| mnist.write("train-images-idx3-ubyte", &idx(&[3, 8, 8], |_| 0)),
        "train-images-idx3-ubyte: expected images of sizes [n, 28, 28], found [3, 8, 8]",
    );
    check(
        "swapped",
        &|mnist| mnist.write("train-images-idx3-ubyte", &idx(&[3], |_| 0)),
        "train-images-idx3-ubyte: expected images of sizes [n, 28, 28], found [3]",
    );
    let nowhere = Dataset::mnist(Path::new("no such folder")).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(nowhere, Err("no such folder: there is no such folder".to_string()));
}
