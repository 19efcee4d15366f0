//! What programs must do with memory: each mistake in a right program is found.

use backprop_core::DType;
use backprop_core::text::{Registry, parse};
use backprop_opt::loops::{
    Access, Buffer, Code, Fold, Home, Instr, Kind, Local, Nest, Place, Program, Reduce, Stage, Step, Store,
    Strides,
};
use backprop_opt::lower::{Options, lower};

/// The program of a graph.
fn program(graph: &str) -> Program {
    let document = parse(graph, "test.graph", &|_| None, &Registry::new()).expect("a graph");
    let records = document.records;
    let is_input = |node: &&backprop_core::Node| matches!(node.op, backprop_core::Op::Input(_));
    let inputs: Vec<u32> = records.nodes().iter().filter(is_input).map(|node| node.first).collect();
    let outputs: Vec<u32> = document.outputs.iter().map(|&(_, value)| value).collect();
    lower(&records, &inputs, &outputs, &Options::default())
}

/// A softmax; a program of one nest of three stages.
fn softmax() -> Program {
    program(
        "graph {
           x = input : f32[23, 37]
           m = max(x) {axes: [1]} : f32[23]
           m1 = reshape(m) {shape: [23, 1]} : f32[23, 1]
           mb = broadcast(m1) {shape: [23, 37]} : f32[23, 37]
           c = sub(x, mb) : f32[23, 37]
           e = exp(c) : f32[23, 37]
           s = sum(e) {axes: [1]} : f32[23]
           s1 = reshape(s) {shape: [23, 1]} : f32[23, 1]
           sb = broadcast(s1) {shape: [23, 37]} : f32[23, 37]
           y = div(e, sb) : f32[23, 37]
           return y
         }",
    )
}

/// Products of products: two buffers of the arena, alive together.
fn products() -> Program {
    program(
        "graph {
           x = input : f32[3, 5]
           w = input : f32[5, 7]
           v = input : f32[5, 7]
           a = contract(x, w) {lhs_contract: [1], rhs_contract: [0]} : f32[3, 7]
           b = contract(x, v) {lhs_contract: [1], rhs_contract: [0]} : f32[3, 7]
           y = contract(a, b) {lhs_contract: [1], rhs_contract: [1]} : f32[3, 3]
           return y
         }",
    )
}

/// Rows whose sum and whose columns' sum are stored.
fn sums() -> Program {
    program(
        "graph {
           x = input : f32[3, 5]
           e = exp(x) : f32[3, 5]
           r = sum(e) {axes: [1]} : f32[3]
           c = sum(e) {axes: [0]} : f32[5]
           return r, c
         }",
    )
}

/// A loop of two carries of one size.
fn scan() -> Program {
    program(
        "graph {
           a = input : f32[7]
           b = input : f32[7]
           x, y, zs = scan(a, b) {
             n_carry: 2, n_xs: 0, length: 3, reverse: 0,
             body: body(k, p, q) {
               k = input : i64[]
               p = input : f32[7]
               q = input : f32[7]
               u = mul(p, q) : f32[7]
               v = add(p, q) : f32[7]
               return u, v, p
             }
           } : f32[7], f32[7], f32[3, 7]
           return x, y, zs
         }",
    )
}

/// Two sums of x, one after the other in a nest of one row: x is kept, then folded, and what it is folded into read.
fn kept_then_folded() -> Program {
    let buffer =
        |home: Home, label: &str| Buffer { dtype: DType::F32, len: 64, home, label: label.to_string() };
    let access = |id: u32| Access {
        place: Place::Buffer(id),
        offset: 0,
        rows: Strides::new(),
        columns: [1].into_iter().collect(),
    };
    let loads = |id: u32| {
        let mut code = Code::default();
        let access = code.access(access(id));
        code.push(Instr::Load(access), DType::F32);
        Stage { columns: [64][..].into(), code, ..Stage::default() }
    };
    let store = |id: u32| vec![Store { value: 0, to: access(id), watched: false }];
    let kept = Stage { stores: store(1), ..loads(0) };
    let reduces = vec![Reduce { fold: Fold::Sum, value: 0, into: access(2), lanes: 1 }];
    let folded = Stage { reduces, ..loads(0) };
    let first = Nest {
        accumulators: vec![(Place::Buffer(2), Fold::Sum)],
        stages: vec![kept, folded],
        ..Nest::default()
    };
    let second = Nest { stages: vec![Stage { stores: store(3), ..loads(2) }], ..Nest::default() };
    let step = |nest: Nest| Step { kind: Kind::Nest(nest), nodes: Vec::new(), begins: Vec::new() };
    Program {
        buffers: vec![
            buffer(Home::Input(0), "x"),
            buffer(Home::Arena(256), "kept"),
            buffer(Home::Arena(0), "sum"),
            buffer(Home::Output(0), "y"),
        ],
        steps: vec![step(first), step(second)],
        inputs: vec![0],
        outputs: vec![3],
        arena_bytes: 512,
    }
}

fn nest(program: &mut Program) -> &mut Nest {
    let nests = program.steps.iter_mut().filter_map(|step| match &mut step.kind {
        Kind::Nest(nest) => Some(nest),
        _ => None,
    });
    nests.last().expect("a nest")
}

/// The mistake is found, and said so.
#[track_caller]
fn finds(mut program: Program, mistake: impl FnOnce(&mut Program), why: &str) {
    assert_eq!(program.verify(), Ok(()));
    mistake(&mut program);
    let told = program.verify().expect_err("the mistake is found");
    assert!(told.contains(why), "{told}\n{program}");
}

/// The last store of the last nest.
fn store(program: &mut Program) -> &mut Access {
    let stage = nest(program).stages.last_mut().expect("a stage");
    &mut stage.stores.last_mut().expect("a store").to
}

#[test]
fn two_iterations_that_store_one_element_are_found() {
    finds(softmax(), |p| store(p).rows[0] = 36, "two iterations may store one element");
    finds(softmax(), |p| store(p).rows[0] = 0, "two iterations may store one element");
    finds(softmax(), |p| store(p).columns[0] = 0, "two iterations may store one element");
}

#[test]
fn two_stores_that_meet_are_found() {
    let twice = |p: &mut Program| {
        let stage = nest(p).stages.last_mut().expect("a stage");
        stage.stores.push(stage.stores[0].clone());
    };
    finds(softmax(), twice, "two stores may meet");
}

#[test]
fn what_is_not_written_is_not_read() {
    finds(products(), |p| drop(p.steps.remove(0)), "read before all of it is written");
    finds(products(), |p| drop(p.steps.pop()), "read before all of it is written");
    finds(products(), |p| p.steps.swap(0, 2), "read before all of it is written");
    finds(softmax(), |p| p.steps.clear(), "read before all of it is written");
    finds(softmax(), |p| nest(p).rows[0] = 22, "read before all of it is written");
}

#[test]
fn a_stage_reads_what_earlier_ones_wrote() {
    finds(softmax(), |p| nest(p).stages.swap(1, 2), "while it is written");
    finds(softmax(), |p| drop(nest(p).stages.remove(1)), "read before all of it is written");
    let unlisted = |p: &mut Program| {
        let stage = &mut nest(p).stages[1];
        stage.stores.clear();
    };
    finds(softmax(), unlisted, "read before all of it is written");
}

#[test]
fn buffers_alive_together_lie_apart() {
    let onto_another = |p: &mut Program| {
        let homes: Vec<usize> =
            (0..p.buffers.len()).filter(|&id| matches!(p.buffers[id].home, Home::Arena(_))).collect();
        assert!(homes.len() >= 2, "{p}");
        p.buffers[homes[1]].home = p.buffers[homes[0]].home.clone();
    };
    finds(products(), onto_another, "overwritten");
}

#[test]
fn a_factor_is_not_written_over() {
    let onto_factor = |p: &mut Program| {
        // The last product's result goes to the arena, where its left factor lies.
        let Kind::Contraction(contraction) = &mut p.steps.last_mut().expect("a step").kind else {
            panic!("a contraction")
        };
        let factor = contraction.a.buffer;
        contraction.stage.stores[0].to.place = Place::Buffer(factor);
        let to = &mut contraction.stage.stores[0].to;
        (to.rows, to.columns) = ([7].into_iter().collect(), [1].into_iter().collect());
    };
    finds(products(), onto_factor, "while it is written");
}

#[test]
fn what_one_iteration_reads_another_does_not_overwrite() {
    // exp(x)² in the arena, then transposed over itself.
    let chain = || {
        program(
            "graph {
               x = input : f32[3, 5]
               w = input : f32[5, 5]
               a = contract(x, w) {lhs_contract: [1], rhs_contract: [0]} : f32[3, 5]
               r = sum(a) {axes: [1]} : f32[3]
               r1 = reshape(r) {shape: [3, 1]} : f32[3, 1]
               rb = broadcast(r1) {shape: [3, 5]} : f32[3, 5]
               d = div(a, rb) : f32[3, 5]
               y = contract(d, w) {lhs_contract: [1], rhs_contract: [1]} : f32[3, 5]
               return y
             }",
        )
    };
    let mut right = chain();
    assert_eq!(right.verify(), Ok(()));
    let homes = right.buffers.iter().filter_map(|buffer| match buffer.home {
        Home::Arena(offset) if buffer.len == 15 => Some(offset),
        _ => None,
    });
    let homes: Vec<usize> = homes.collect();
    assert!(homes.len() == 2 && homes[0] == homes[1], "the quotient lies over what is divided\n{right}");
    let reversed = |p: &mut Program| {
        let to = store(p);
        to.offset = 14;
        to.rows.iter_mut().chain(&mut to.columns).for_each(|stride| *stride = -*stride);
    };
    finds(right.clone(), reversed, "are used at once");
    // Another iteration of the stage reads what is overwritten.
    let accesses = &mut nest(&mut right).stages.last_mut().expect("a stage").code.accesses;
    let read = accesses.iter_mut().find(|access| access.rows[..] == [5] && access.columns[..] == [1]);
    read.expect("it reads what is divided").columns[0] = 0;
    assert!(right.verify().expect_err("it is found").contains("are used at once"));
}

#[test]
fn iterations_that_meet_in_an_accumulator_are_found() {
    let closer = |p: &mut Program| {
        let reduces = nest(p).stages.iter_mut().flat_map(|stage| &mut stage.reduces);
        let shared = reduces.filter(|reduce| matches!(reduce.into.place, Place::Buffer(_)));
        let into = &mut shared.last().expect("an accumulator in memory").into;
        (into.rows, into.columns) = ([1].into_iter().collect(), [1].into_iter().collect());
        into.columns.truncate(1);
    };
    let mut program = sums();
    assert_eq!(program.verify(), Ok(()), "{program}");
    // Room for the elements that are met.
    closer(&mut program);
    assert!(program.verify().is_err(), "{program}");
}

#[test]
fn nothing_and_rank_0_are_right() {
    for shape in ["", "0, 7"] {
        let graph =
            format!("graph {{\n x = input : f32[{shape}]\n y = exp(x) : f32[{shape}]\n return y\n }}");
        assert_eq!(program(&graph).verify(), Ok(()));
    }
    assert_eq!(Program::default().verify(), Ok(()));
}

#[test]
fn results_that_are_one_buffer_are_found() {
    fn edited(program: &mut Program) -> &mut backprop_opt::loops::Scan {
        let found = program.steps.iter_mut().find_map(|step| match &mut step.kind {
            Kind::Scan(scan) => Some(scan),
            _ => None,
        });
        found.expect("a loop")
    }
    let why = "two results of a step";
    finds(scan(), |p| edited(p).room[0][1] = edited(p).room[0][0], why);
    finds(scan(), |p| edited(p).room[1][0] = edited(p).room[0][0], why);
    finds(scan(), |p| edited(p).last[1] = edited(p).last[0], why);
    let twice = |p: &mut Program| {
        let sum = nest(p).accumulators[0];
        nest(p).accumulators.push(sum);
    };
    finds(sums(), twice, why);
}

#[test]
fn what_is_folded_into_is_not_overwritten_since_it_started() {
    finds(kept_then_folded(), |p| p.buffers[1].home = Home::Arena(0), "sum is read after it was overwritten");
    finds(
        kept_then_folded(),
        |p| p.buffers[1].home = Home::Arena(64),
        "sum is read after it was overwritten",
    );
}

#[test]
fn numbers_are_not_read_and_places_are_not_counted() {
    let counted = |p: &mut Program| {
        let code = &mut nest(p).stages[0].code;
        assert!(matches!(code.instrs[0], Instr::Load(0)));
        code.push(Instr::Count(0), DType::I64);
    };
    finds(softmax(), counted, "counts what is read");
}

#[test]
fn nowhere_is_no_place_of_a_table_without_elements() {
    let gathers = |p: &mut Program| {
        let code = &mut nest(p).stages[0].code;
        let access = Access { place: Place::Buffer(99), ..code.accesses[0].clone() };
        let access = code.access(access);
        let index = code.push(Instr::Literal(0), DType::I64);
        code.push(Instr::Gather { access, index, stride: 1, bound: 0 }, DType::F32);
    };
    finds(softmax(), gathers, "there is no buffer 99");
}

#[test]
fn folds_are_of_their_types_and_fit_into_scratch() {
    fn reduce(p: &mut Program) -> &mut Reduce {
        nest(p).stages.iter_mut().flat_map(|stage| &mut stage.reduces).next().expect("a sum")
    }
    finds(softmax(), |p| reduce(p).lanes = 1 << 62, "lanes");
    finds(softmax(), |p| reduce(p).lanes = 0, "lanes");
    finds(softmax(), |p| reduce(p).fold = Fold::Sum, "is no accumulator of the nest");
    let large = |p: &mut Program| {
        nest(p).locals.extend([Local { dtype: DType::F64, len: isize::MAX as usize >> 12 }; 4]);
    };
    finds(softmax(), large, "too large");
    let any = || {
        program(
            "graph {
               x = input : bool[23, 37]
               y = any(x) {axes: [1]} : bool[23]
               return y
             }",
        )
    };
    let sums = |p: &mut Program| {
        reduce(p).fold = Fold::Sum;
        nest(p).accumulators[0].1 = Fold::Sum;
    };
    finds(any(), sums, "Sum of bool");
}
