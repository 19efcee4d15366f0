//! What a training step takes of memory: what it says before it runs, and nothing from its second run on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use backprop_core::{Array, DType, Graph, Seed};
use backprop_nn::{Adam, Layer, Optimizer, Params, Sequential, Sgd, TrainStep};

/// The system's allocator; it counts.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Of this thread: the one that tells of tests has its own.
    static N_ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn taken(bytes: usize) {
    N_ALLOCATIONS.set(N_ALLOCATIONS.get() + 1);
    PEAK.fetch_max(LIVE.fetch_add(bytes, SeqCst) + bytes, SeqCst);
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: what the caller promises is what the system's allocator asks for; so below.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: see above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_sub(layout.size(), SeqCst);
        taken(size);
        // SAFETY: see above.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), SeqCst);
        // SAFETY: see above.
        unsafe { System.dealloc(old, layout) }
    }
}

/// Tests that count bytes take turns.
static COUNTER: Mutex<()> = Mutex::new(());

/// A network, its parameters, and a step of it on batches of any size.
fn step(features: usize, hidden: usize, optimizer: impl Into<Optimizer>) -> (Params, TrainStep) {
    let net = Sequential::new().linear(features, hidden).relu().linear(hidden, 5);
    let params = net.init(Seed(7)).unwrap();
    let graph = Graph::new();
    let x = graph.input("x", format!("f32[B, {features}]").as_str());
    let y = graph.input("y", "i64[B]");
    let p = params.bind(&graph);
    let loss = net.forward(&p, x).cross_entropy(y);
    let updates = optimizer.into().updates(&p, loss).unwrap();
    let step = TrainStep::new(&graph, &[x, y], &[loss], updates).unwrap();
    (params, step)
}

fn batch(n: usize, features: usize) -> [Array; 2] {
    [Array::zeros(DType::F32, &[n, features]).unwrap(), Array::zeros(DType::I64, &[n]).unwrap()]
}

/// The mappings of this process that hold code; the heap's are its own matter, and what asks for them is counted. 0
/// where the system does not tell.
fn n_maps() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().filter(|line| line.contains("r-xp")).count()
}

/// Bytes that Linux tells of this process.
fn told(what: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(what))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? << 10)
}

#[test]
fn nothing_is_allocated_from_the_second_run_on() {
    let _turn = COUNTER.lock();
    let check = |name: &str, (mut params, step): (Params, TrainStep)| {
        let (data, mut loss) = (batch(11, 7), [Array::scalar(0.0f32)]);
        step.run_into(&mut params, &data, &mut loss).unwrap();
        let n_maps_before = n_maps();
        for run in 2..5 {
            let before = N_ALLOCATIONS.get();
            step.run_into(&mut params, &data, &mut loss).unwrap();
            assert_eq!(N_ALLOCATIONS.get() - before, 0, "{name}, run {run}");
        }
        assert_eq!(n_maps(), n_maps_before, "{name}");
    };
    check("sgd", step(7, 13, Sgd::new(0.1)));
    check("momentum", step(7, 13, Sgd::new(0.1).momentum(0.9)));
    check("adam", step(7, 13, Adam::new(0.1)));
}

#[test]
fn a_step_takes_what_it_says() {
    let _turn = COUNTER.lock();
    // Most of it in the arena: activations of 2⁹ rows and 2¹³ columns.
    let (features, hidden, n) = (3, 1 << 13, 1 << 9);
    let (mut params, step) = step(features, hidden, Sgd::new(0.1));
    let (data, mut loss) = (batch(n, features), [Array::scalar(0.0f32)]);
    let said = step.arena_bytes(&params, &data).unwrap();
    assert!(said >= n * hidden * 4, "{said} bytes are the activations at least");
    // The same in a step that has no arena yet.
    drop(step);
    let (_, step) = self::step(features, hidden, Sgd::new(0.1));
    let (live, resident) = (LIVE.load(SeqCst), told("VmRSS:"));
    PEAK.store(live, SeqCst);
    // The high-water mark starts from here.
    let is_reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    step.run_into(&mut params, &data, &mut loss).unwrap();
    let outputs: usize = params.iter().map(|p| p.array().len() * p.array().dtype().size()).sum();
    // Compiling takes some too: tables, and machine code before it goes to its pages.
    let peak = PEAK.load(SeqCst) - live;
    let slack = 512 << 10;
    assert!(
        (said + outputs..said + outputs + slack).contains(&peak),
        "{peak} bytes; {said} and {outputs} were said"
    );
    if let Some((resident, most)) = resident.zip(told("VmHWM:")).filter(|_| is_reset) {
        let peak = most.saturating_sub(resident);
        assert!(
            peak.abs_diff(said + outputs) <= 2 << 20,
            "{peak} bytes more are resident; {said} and {outputs} were said"
        );
    }
}
