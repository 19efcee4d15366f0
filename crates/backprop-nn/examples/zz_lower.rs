use backprop_core::{Array, DType, Graph, Seed};
use backprop_nn::*;
fn main() {
    let layers: Vec<usize> = std::env::args().nth(1).unwrap_or("784,512,512,10".into()).split(',').map(|x| x.parse().unwrap()).collect();
    let b: usize = std::env::args().nth(2).unwrap_or("128".into()).parse().unwrap();
    let adam = std::env::args().nth(3).is_some();
    let mut net = Sequential::new();
    for (i, w) in layers.windows(2).enumerate() { net = net.linear(w[0], w[1]); if i + 2 < layers.len() { net = net.relu(); } }
    let params = net.init(Seed(0)).unwrap();
    let g = Graph::new();
    let (x, y) = (g.input("x", format!("f32[B, {}]", layers[0]).as_str()), g.input("y", "i64[B]"));
    let p = params.bind(&g);
    let loss = net.forward(&p, x).cross_entropy(y);
    let opt = if adam { Optimizer::from(AdamW::new(0.001)) } else { Optimizer::from(Sgd::new(0.1)) };
    let step = TrainStep::new(&g, &[x, y], &[loss], opt.updates(&p, loss).unwrap()).unwrap();
    println!("{}", backprop_core::text::print(&g.records(), &[]).text);
    let t = std::time::Instant::now();
    let program = step.program(&params, &[Array::zeros(DType::F32, &[b, layers[0]]).unwrap(), Array::zeros(DType::I64, &[b]).unwrap()]).unwrap();
    println!("{:?}", t.elapsed());
    println!("{program}");
    program.verify().unwrap();
}
