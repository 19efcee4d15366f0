use backprop_core::{Graph, Tensor};
use std::time::Instant;
fn rss() -> u64 { std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmHWM")).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap() }
fn main() {
    let n: usize = std::env::args().nth(1).unwrap_or("1000000".into()).parse().unwrap();
    let t = Instant::now();
    let g = Graph::new();
    let x: Vec<Tensor> = (0..10).map(|i| g.input(&format!("x{i}"), "f64[]")).collect();
    let mut v = x.clone();
    let mut s = 12345u64;
    let mut r = |n: usize| { s ^= s << 13; s ^= s >> 7; s ^= s << 17; (s % n as u64) as usize };
    for i in 0..n {
        let a = v[v.len() - 1 - r(v.len().min(100))];
        let b = v[v.len() - 1 - r(v.len().min(100))];
        v.push(match i % 5 { 0 => a + b, 1 => a * b, 2 => a - b, 3 => a.tanh(), _ => a.sin() });
    }
    let z = *v.last().unwrap();
    println!("build {:?} rss {} kB", t.elapsed(), rss());
    let t = Instant::now();
    let table = backprop_ad::grad_table(z, &x);
    println!("grad {:?} nodes {} rss {} kB", t.elapsed(), g.records().n_nodes(), rss());
    let mut outs = vec![z.id()];
    outs.extend(table.gradients().iter().map(|g| g.id()));
    let t = Instant::now();
    let ins: Vec<u32> = x.iter().map(|x| x.id()).collect();
    let p = backprop_opt::lower::lower(&g.records(), &ins, &outs, &Default::default());
    println!("lower {:?} steps {} buffers {} rss {} kB", t.elapsed(), p.steps.len(), p.buffers.len(), rss());
    let t = Instant::now();
    p.verify().unwrap();
    println!("verify {:?}", t.elapsed());
    if let backprop_opt::loops::Kind::Nest(n) = &p.steps[0].kind { println!("instrs {}", n.stages.iter().map(|s| s.code.instrs.len()).sum::<usize>()); }
}
