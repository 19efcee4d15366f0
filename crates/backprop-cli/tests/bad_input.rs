//! Bad input: one clear error on stderr, nothing on stdout, the right exit code, nothing half written.

mod common;

use backprop_core::Array;
use backprop_io::safetensors;
use common::{Folder, MODEL};

/// Runs `line`; its error must have `code` and all of `parts`, and leave the folder as it was.
#[track_caller]
fn check(folder: &Folder, line: &str, code: i32, parts: &[&str]) {
    let before = folder.names(".");
    let done = folder.line(line);
    assert_eq!(done.code, code, "{line}\n{}\n{}", done.out, done.err);
    for part in parts {
        assert!(done.err.contains(part), "{line}: no {part:?} in\n{}", done.err);
    }
    assert!(done.err.contains("error: ") && !done.err.contains("panicked"), "{line}\n{}", done.err);
    assert_eq!(done.out, "", "{line}");
    assert_eq!(folder.names("."), before, "{line}");
}

#[test]
fn arguments() {
    let folder = Folder::new();
    let bad = |line: &str, parts: &[&str]| check(&folder, line, 2, parts);
    bad("trian", &["unrecognized subcommand 'trian'", "train"]);
    bad("train --epoch 3", &["--epoch", "'--epochs'"]);
    bad("train --optimizer adma --out r", &["--optimizer: there is no `adma`; did you mean `adam`?"]);
    bad("train --optimizer lbfgs --out r", &["there is no `lbfgs`; known: sgd, adam, adamw"]);
    bad("train --engine gpu --out r", &["--engine: there is no `gpu`; known: eager, graph"]);
    bad("train --threads 0 --out r", &["--threads: 0 is too few"]);
    bad("train --threads 18446744073709551615 --out r", &["--threads: ", "1024 are the most"]);
    bad(
        "train --engine eager --threads 2 --out r",
        &["--threads: a tape has one thread: add --engine graph"],
    );
    bad("train --lr fast --out r", &["--lr: `fast` is no number"]);
    bad("train --lr -1 --out r", &["--lr: -1 is not a finite number above 0"]);
    bad("train --lr nan --out r", &["--lr: nan is not a finite number"]);
    bad("train --lr 1e300 --out r", &["--lr: 1e300 is too large"]);
    bad("train --batch 0 --out r", &["--batch: 0 is too few"]);
    bad("train --epochs x --out r", &["--epochs: `x` is no integer"]);
    bad("train --seed -1 --out r", &["--seed: `-1` is no integer"]);
    bad("train --layers 64 --out r", &["at least two sizes"]);
    bad("train --layers 64,a,10 --out r", &["--layers: `a` is no integer"]);
    bad("train --layers 63,128,10 --out r", &["the first size is 63", "64 features", "--layers 64,128,10"]);
    bad("train --layers 64,128,9 --out r", &["the last size is 9", "10 classes", "--layers 64,128,10"]);
    bad("train --layers 64,999999999999,10 --out r", &["--layers", "more parameters than the 268,435,456"]);
    bad("train --layers 64,18446744073709551615,18446744073709551615,10 --out r", &["more parameters"]);
    bad("train --momentum 0.5 --out r", &["--momentum: only sgd has it: add --optimizer sgd"]);
    bad("train --schedule constant --warm-up 0.1 --out r", &["--warm-up: only cosine warms up"]);
    bad("train --data digit --out r", &["`digit` is no built-in data set", "did you mean `digits`?"]);
    bad("grad model.graph --of los --wrt w --in x.npz", &["--of:", "`los`", "did you mean `loss`?"]);
    bad("grad model.graph --of loss --wrt w,xv --in x.npz", &["--wrt:", "`xv`", "did you mean `xw`?"]);
    bad("grad model.graph --of loss --wrt w,w --in x.npz", &["--wrt: `w` is given twice"]);
    bad("grad model.graph --of p --wrt w --in x.npz", &["`p` is f64[B], no scalar", "--cotangent"]);
    bad("grad model.graph --of loss --wrt w --order 0", &["--order"]);
    bad("grad model.graph --of loss --wrt w", &["--in FILE.npz", "x f64[B, 2]", "w f64[2]"]);
    bad("grad model.graph --of loss --wrt w --explain --out g.npz", &["--in FILE.npz"]);
    bad("eval model.graph", &["--in FILE.npz"]);
    bad("show model.graph", &["--svg"]);
    bad("show model.graph --svg --text", &["--text"]);
    bad("check model.graph --size N=3", &["no dimension `N`", "known: B"]);
    bad("check model.graph --size B", &["--size B=3"]);
    bad("check model.graph --size B=x", &["`x` is no size"]);
    bad("check model.graph --size B=3,B=4", &["`B` is given twice"]);
    let many = &["input x f64[B, 2]: 20000000000 elements are too many to check"];
    check(&folder, "check model.graph --size B=10000000000", 1, many);
    bad("check model.graph --size B=3 --in x.npz", &["--size", "--in"]);
    bad("bench graph model.graph --size B=3 --in x.npz", &["--size", "--in"]);
    let large = &["input x f64[B, 2]", "does not fit into memory"];
    check(&folder, "bench graph model.graph --size B=1000000000000000", 1, large);
    check(&folder, "show model.graph --plan --size B=1000000000000000", 1, &large[1..]);
    bad("bench gemn", &["unrecognized subcommand 'gemn'", "gemm"]);
    bad("bench mlp --layers 5", &["--layers: at least two sizes"]);
    bad("bench mlp --layers 64,1000000000,10", &["--layers", "more parameters than the 268,435,456"]);
    bad("bench mlp --threads 0", &["--threads"]);
    bad("bench mlp --engine eager --threads 2", &["--threads: a tape has one thread"]);
    bad("bench train --engine eager --threads 2", &["--threads: a tape has one thread"]);
    bad("bench gemm 3x5", &["three sizes are wanted, such as 64x32x48"]);
    bad("bench gemm 3x0x5", &["three sizes are wanted"]);
    bad("bench function tahn", &["unknown op `tahn`"]);
    bad("bench compile --batch 3 --new-batch 7", &["--new-batch: at most 6"]);
    let above = ["the arena takes ", " bytes, above the 1 allowed"];
    check(&folder, "train --max-bytes 1 --epochs 1 --out r", 1, &above);
    check(&folder, "eval model.graph --in x.npz --max-bytes 1", 1, &above);
    bad("train --max-bytes 0 --out r", &["--max-bytes: 0 is too few"]);
    bad("train --engine eager --max-bytes 9 --out r", &["--max-bytes: ", "add --engine graph"]);
    check(&folder, "bench mlp --layers 2,3 --start x.npz", 1, &["x.npz: there is no `0.weight`"]);
    bad("ops tahn", &["there is no operation `tahn`; did you mean `tanh`?"]);
}

#[test]
fn configs() {
    let folder = Folder::new();
    let bad = |text: &str, parts: &[&str]| {
        folder.write("c.toml", text);
        check(&folder, "train c.toml --out r", 2, parts);
    };
    bad("epoch = 3\n", &["c.toml:1:1: unknown key `epoch`; did you mean `epochs`?", "| epoch = 3", "| ^"]);
    bad("seed = 1\nbatch = \"32\"\n", &["c.toml:2:9: batch must be an integer"]);
    bad("optimizer = \"sdg\"\n", &["there is no `sdg`; did you mean `sgd`?"]);
    bad("layers = [64, 10\n", &["c.toml:", "this is no TOML"]);
    bad("lr = 1\nlr = 2\n", &["c.toml:2:", "this is no TOML"]);
    check(&folder, "train none.toml --out r", 1, &["none.toml: cannot read"]);
}

#[test]
fn data_files() {
    let folder = Folder::new();
    let bad = |parts: &[&str]| check(&folder, "train --data ./mnist --epochs 1 --out r", 1, parts);
    bad(&["mnist: there is no such folder"]);
    check(
        &folder,
        "train --data ./model.graph --out r",
        1,
        &["model.graph: this is a file: give the folder"],
    );
    std::fs::create_dir(folder.path("mnist")).expect("it can be made");
    bad(&["mnist: no data file"]);
    let images = |n: u8| {
        let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 28, 0, 0, 0, 28];
        bytes.resize(16 + usize::from(n) * 784, 7);
        bytes
    };
    for (part, n) in [("train", 3), ("t10k", 2)] {
        folder.write(&format!("mnist/{part}-images-idx3-ubyte"), images(n));
        let labels = [vec![0, 0, 8, 1, 0, 0, 0, n], vec![1; usize::from(n)]].concat();
        folder.write(&format!("mnist/{part}-labels-idx1-ubyte"), labels);
    }
    folder.write("mnist/train-images-idx3-ubyte", &images(3)[..900]);
    bad(&["train-images-idx3-ubyte", "claims u8[3, 28, 28]", "only 884 follow"]);
    folder.write("mnist/train-images-idx3-ubyte", images(3));
    folder.write("mnist/train-labels-idx1-ubyte", [0, 0, 8, 1, 0, 0, 0, 3, 1, 12, 1]);
    bad(&["train-labels-idx1-ubyte: label 12 of example 1 is out of range: expected 0 to 9"]);
    folder.write("mnist/train-labels-idx1-ubyte", [0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 1]);
    folder.line("train --data ./mnist --epochs 1 --out good").good();
}

#[test]
fn a_loss_that_is_not_finite_saves_nothing() {
    let folder = Folder::new();
    for engine in ["eager", "graph"] {
        let line = format!("train --optimizer sgd --lr 1e30 --epochs 2 --engine {engine} --out r");
        check(&folder, &line, 1, &["epoch 1", "not finite", "first", "layer ", "nothing is saved", "--lr"]);
        // A line of the command's own source tells its user nothing.
        assert!(!folder.line(&line).err.contains(".rs"), "{engine}");
    }
}

#[test]
fn run_directories() {
    let folder = Folder::new();
    folder.line("train --data iris --epochs 1 --out run").good();
    let taken = &["--out: run exists already", "never overwritten"];
    check(&folder, "train --data iris --epochs 1 --out run", 2, taken);
    check(&folder, "train --data iris --out model.graph", 2, &["model.graph exists already"]);
    check(&folder, "train --data iris --out model.graph/run", 1, &["model.graph: cannot make the folder"]);
    check(&folder, "test nothing", 1, &["nothing: there is no such run directory"]);
    check(&folder, "test model.graph", 1, &["model.graph: this is a file, no run directory"]);
    check(
        &folder,
        "train run --out r",
        1,
        &["cannot read", "the settings of this run are in run/config.toml"],
    );
    check(&folder, "test .", 1, &["this is no run directory: it has no config.toml"]);
    check(&folder, "test run --data x", 2, &["built in"]);
    let model = std::fs::read(folder.path("run/model.safetensors")).expect("it is there");
    folder.write("run/model.safetensors", &model[..model.len() - 5]);
    check(&folder, "test run", 1, &["model.safetensors", "truncated"]);
    let mut damaged = model.clone();
    let last = damaged.len() - 4;
    damaged[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    folder.write("run/model.safetensors", damaged);
    check(&folder, "test run", 1, &["`2.weight` is not finite at element 383", "damaged"]);
    let config = std::fs::read(folder.path("run/config.toml")).expect("it is there");
    folder.write("run/config.toml", "layers = [64,");
    check(&folder, "test run", 1, &["run/config.toml"]);
    folder.write("run/config.toml", config);
    folder.write("run/model.safetensors", &model);
    let file = folder.path("run/model.safetensors");
    let (mut arrays, metadata) = safetensors::load(&file).expect("it is whole");
    arrays.push(("4.bias".to_string(), Array::from([1.0f32])));
    let arrays: Vec<(&str, &Array)> = arrays.iter().map(|(name, array)| (&name[..], array)).collect();
    safetensors::save(&file, &arrays, &metadata).expect("it can be written");
    check(&folder, "test run", 1, &["the config's network has no parameter `4.bias`"]);
    folder.write("run/model.safetensors", model);
    let config = std::fs::read_to_string(folder.path("run/config.toml")).expect("it is there");
    folder.write("run/config.toml", config.replace("[4, 128, 3]", "[4, 127, 3]"));
    check(&folder, "test run", 1, &["`0.weight` is f32[128, 4]", "wants f32[127, 4]"]);
    folder.write("run/config.toml", config.replace("[4, 128, 3]", "[4, 1000000000000, 3]"));
    check(&folder, "test run", 1, &["run/config.toml: layers:", "more parameters"]);
    folder.write("run/config.toml", config.replace("layers", "# layers"));
    check(&folder, "test run", 1, &["run/config.toml: layers: the key is missing"]);
    std::fs::remove_file(folder.path("run/model.safetensors")).expect("it is there");
    check(&folder, "test run", 1, &["it has no model.safetensors"]);
}

#[test]
fn graph_texts() {
    let folder = Folder::new();
    let bad = |text: &str, parts: &[&str]| {
        folder.write("bad.graph", text);
        for command in ["eval", "check"] {
            check(&folder, &format!("{command} bad.graph"), 1, parts);
        }
    };
    bad(
        &MODEL.replace("square", "sqare"),
        &["bad.graph:7:7: unknown op `sqare`", "^^^^^", "did you mean `square`?"],
    );
    bad(&MODEL.replace("mean(e)", "mean(ee)"), &["bad.graph:8:15: unknown value `ee`"]);
    bad(&MODEL.replace("f64[2]", "f64[3]"), &["bad.graph:5:8", "x: f64[B, 2]", "w: f64[3]"]);
    bad("grph {}", &["bad.graph:1:1: expected `graph {`"]);
    bad("", &["bad.graph:1:1"]);
    bad(&MODEL.replace("  return loss, p\n", ""), &["the graph returns nothing"]);
    bad(
        &format!("graph {{\n  x = input : f64[{}]\n}}", "9".repeat(100_000)),
        &["bad.graph:2:19: `99999", " … "],
    );
    folder.write(
        "bad.graph",
        "graph {\n  b = constant 1.0\n  h, a = scan(b) {n_carry: 1, n_xs: 0, length: 1000000000000, \
         body: body(k, h) {\n k = input : i64\n h = input : f64\n return h, h\n }}\n  return h, a\n}",
    );
    let large = &["scan: a result of type f64[1000000000000] does not fit into memory", "bad.graph:3"];
    check(&folder, "eval bad.graph", 1, large);
    // A byte order mark is no error.
    folder.write("mark.graph", format!("\u{feff}{MODEL}"));
    folder.line("eval mark.graph --in x.npz").good();
    folder.write("bytes.graph", [0xff, 0xfe]);
    check(&folder, "eval bytes.graph", 1, &["bytes.graph: byte 0: this is no text in UTF-8"]);
    check(&folder, "eval none.graph", 1, &["none.graph: cannot read"]);
    check(&folder, "eval . --in x.npz", 1, &[".: cannot read"]);
}

#[test]
fn npz_files() {
    let folder = Folder::new();
    let (x, w, b) = (Array::from([[1.0, 2.0]]), Array::from([1.0, -1.0]), Array::scalar(0.0));
    let bad = |arrays: &[(&str, &Array)], parts: &[&str]| {
        folder.npz("bad.npz", arrays);
        check(&folder, "eval model.graph --in bad.npz --out y.npz", 1, parts);
        check(&folder, "grad model.graph --of loss --wrt w --in bad.npz --out y.npz", 1, parts);
    };
    bad(&[("xx", &x), ("w", &w), ("b", &b)], &["bad.npz: no array `x`", "it holds `xx`"]);
    bad(&[], &["no array `x`", "it is empty"]);
    let single = Array::from([1.0f32, -1.0]);
    bad(
        &[("x", &x), ("w", &single), ("b", &b)],
        &["declared f64[2]", "holds f32[2]", "w.astype(numpy.float64)"],
    );
    bad(&[("x", &w), ("w", &w), ("b", &b)], &["declared f64[B, 2] with 2 axes", "f64[2] with 1"]);
    let wide = Array::from([[1.0, 2.0, 3.0]]);
    bad(
        &[("x", &wide), ("w", &w), ("b", &b)],
        &["input x is declared f64[B, 2], but f64[1, 3] was given: axis 1 must be 2"],
    );
    folder.write("bad.npz", b"PK\x03\x04 this is no archive");
    check(&folder, "eval model.graph --in bad.npz", 1, &["bad.npz", "no whole zip archive"]);
    check(&folder, "eval model.graph --in none.npz", 1, &["none.npz: cannot open"]);
    check(&folder, "eval model.graph --in x.npz --out no/y.npz", 1, &["no/y.npz: cannot"]);
    let two = [("a", &w), ("c", &w)];
    folder.npz("two.npz", &two);
    check(
        &folder,
        "grad model.graph --of p --wrt w --cotangent two.npz --in x.npz",
        1,
        &["no array `p` among its 2"],
    );
    folder.npz("single.npz", &[("p", &Array::from([1.0f32, 2.0]))]);
    check(
        &folder,
        "grad model.graph --of p --wrt w --cotangent single.npz --in x.npz",
        1,
        &["single.npz: `p` is f64[B], but the cotangent is f32[2]"],
    );
    folder.npz("long.npz", &[("p", &Array::from([1.0, 2.0, 3.0]))]);
    check(
        &folder,
        "grad model.graph --of p --wrt w --cotangent long.npz --in x.npz",
        1,
        &["f64[3] was given", "B is"],
    );
}
