//! A program as text, for people: buffers with their homes, then the steps.
//!
//! ```text
//! h.3   f32[2048]  arena at 0, steps 0 to 1
//! step 0  contraction f32 [32, 64] = [32, 64]·[64, 64], 64 products in a block
//!   for j < 64
//!     $0 = product
//!     $1 = b.2[j]
//!     ..
//! ```
//!
//! `h.3` is buffer 3, called `h` in the graph; `$0` a number in a register, of this code alone; `local0` lives for one
//! row.

use std::fmt::{self, Display, Formatter};

use backprop_core::DType;

use super::{
    Access, BufferId, Code, Contraction, Factor, Fold, Home, Instr, Kind, Nest, Place, Program, Reg, Stage,
};

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_program(self, f, 0)
    }
}

/// In one line: a contraction's sizes; a nest's loops.
impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Nest(nest) => {
                let columns: Vec<String> =
                    nest.stages.iter().map(|stage| format!("{:?}", &stage.columns[..])).collect();
                write!(f, "nest {:?} × {}", &nest.rows[..], columns.join(" "))
            }
            Kind::Contraction(contraction) => {
                let Contraction { dtype, batch, m, n, k, .. } = &**contraction;
                let batch = if batch.is_empty() { String::new() } else { format!("{:?} × ", &batch[..]) };
                write!(f, "contraction {dtype} {batch}[{m}, {n}] = [{m}, {k}]·[{k}, {n}]")
            }
            Kind::Call(call) => write!(f, "{}", call.op.name()),
            Kind::Cond(_) => write!(f, "cond"),
            Kind::Scan(scan) => write!(f, "scan, {} iterations", scan.length),
        }
    }
}

/// Names of the loops: rows, then columns.
const ROWS: [&str; 9] = ["r", "s", "t", "u", "r4", "r5", "r6", "r7", "r8"];
const COLUMNS: [&str; 9] = ["i", "j", "k", "l", "i4", "i5", "i6", "i7", "i8"];

fn write_program(program: &Program, f: &mut Formatter<'_>, indent: usize) -> fmt::Result {
    let pad = " ".repeat(indent);
    let name = |id: BufferId| format!("{}.{id}", program.buffer(id).label);
    writeln!(f, "{pad}arena: {} bytes", program.arena_bytes)?;
    let lives = program.lives();
    for (id, buffer) in program.buffers.iter().enumerate() {
        let home = match &buffer.home {
            Home::Input(at) => format!("input {at}"),
            Home::Output(at) => format!("output {at}"),
            Home::Constant(_) => "constant".to_string(),
            Home::Arena(offset) => match lives[id] {
                Some((first, last)) => format!("arena at {offset}, steps {first} to {last}"),
                None => format!("arena at {offset}"),
            },
        };
        writeln!(f, "{pad}{:<16} {}[{}]  {home}", name(id as BufferId), buffer.dtype, buffer.len)?;
    }
    for (position, step) in program.steps.iter().enumerate() {
        write!(f, "{pad}step {position}  ")?;
        match &step.kind {
            Kind::Nest(nest) => {
                writeln!(f, "{}", step.kind)?;
                write_nest(program, nest, f, indent)?;
            }
            Kind::Contraction(contraction) => {
                writeln!(f, "{}, {} products in a block", step.kind, contraction.k_block)?;
                write_contraction(program, contraction, f, indent)?;
            }
            Kind::Call(call) => {
                let inputs: Vec<String> = call.inputs.iter().map(|&(id, _)| name(id)).collect();
                let outputs = call.outputs.iter().map(|(id, _)| id.map_or("_".to_string(), name));
                let outputs: Vec<String> = outputs.collect();
                writeln!(f, "{} = {}({})", outputs.join(", "), call.op.name(), inputs.join(", "))?;
            }
            Kind::Cond(cond) => {
                let outputs: Vec<String> = cond.outputs.iter().map(|&id| name(id)).collect();
                let inputs: Vec<String> = cond.inputs.iter().map(|&id| name(id)).collect();
                let condition = name(cond.condition);
                writeln!(f, "{} = cond({condition}; {})", outputs.join(", "), inputs.join(", "))?;
                for (what, body) in [("then", &cond.then), ("otherwise", &cond.otherwise)] {
                    writeln!(f, "{pad}  {what}, arena at {}:", cond.arena)?;
                    write_program(body, f, indent + 4)?;
                }
            }
            Kind::Scan(scan) => {
                let list = |ids: &[BufferId]| ids.iter().map(|&id| name(id)).collect::<Vec<_>>().join(", ");
                let order = if scan.reverse { "from the last" } else { "from the first" };
                writeln!(f, "scan {} times {order}, arena at {}", scan.length, scan.arena)?;
                writeln!(
                    f,
                    "{pad}  carries {}; xs {}; captures {}",
                    list(&scan.carries),
                    list(&scan.xs),
                    list(&scan.captures)
                )?;
                writeln!(f, "{pad}  gives {}; ys {}", list(&scan.last), list(&scan.ys))?;
                write_program(&scan.body, f, indent + 4)?;
            }
        }
    }
    Ok(())
}

fn write_nest(program: &Program, nest: &Nest, f: &mut Formatter<'_>, indent: usize) -> fmt::Result {
    let starts = |f: &mut Formatter<'_>, pad: &str, of_row: bool| {
        let of_row = |place: &Place| matches!(place, Place::Local(_)) == of_row;
        let own = nest.accumulators.iter().filter(|(place, _)| of_row(place));
        own.clone().try_for_each(|&(place, fold)| {
            writeln!(f, "{pad}{} = {}", place_name(program, place), start(fold))
        })
    };
    let pad = " ".repeat(indent + 2);
    starts(f, &pad, false)?;
    let loops: Vec<String> =
        nest.rows.iter().zip(ROWS).map(|(size, name)| format!("{name} < {size}")).collect();
    let inner = if loops.is_empty() { indent + 2 } else { indent + 4 };
    if !loops.is_empty() {
        writeln!(f, "{pad}for {}", loops.join(", "))?;
    }
    starts(f, &" ".repeat(inner), true)?;
    for stage in &nest.stages {
        write_stage(program, stage, f, inner)?;
    }
    Ok(())
}

fn write_contraction(
    program: &Program,
    contraction: &Contraction,
    f: &mut Formatter<'_>,
    indent: usize,
) -> fmt::Result {
    let Contraction { a, b, stage, .. } = contraction;
    let pad = " ".repeat(indent + 2);
    let factor = |factor: &Factor| {
        let name = place_name(program, Place::Buffer(factor.buffer));
        format!(
            "{name}, strides {:?} {} {}",
            &factor.batch_strides[..],
            factor.row_stride,
            factor.column_stride
        )
    };
    writeln!(f, "{pad}a = {}", factor(a))?;
    writeln!(f, "{pad}b = {}", factor(b))?;
    write_stage(program, stage, f, indent + 2)
}

fn write_stage(program: &Program, stage: &Stage, f: &mut Formatter<'_>, indent: usize) -> fmt::Result {
    let pad = " ".repeat(indent);
    let loops: Vec<String> =
        stage.columns.iter().zip(COLUMNS).map(|(size, name)| format!("{name} < {size}")).collect();
    let inner = match loops.is_empty() {
        true => pad.clone(),
        false => {
            writeln!(f, "{pad}for {}", loops.join(", "))?;
            format!("{pad}  ")
        }
    };
    let code = &stage.code;
    for (reg, instr) in code.instrs.iter().enumerate() {
        writeln!(
            f,
            "{inner}${reg}: {} = {}",
            code.dtypes[reg],
            instr_text(program, code, instr, reg as Reg)
        )?;
    }
    for store in &stage.stores {
        let watched = if store.watched { "  (watched)" } else { "" };
        writeln!(f, "{inner}{} = ${}{watched}", access_text(program, &store.to), store.value)?;
    }
    for reduce in &stage.reduces {
        let fold = match reduce.fold {
            Fold::Sum => "+=",
            Fold::Max => "max=",
            Fold::Any => "|=",
        };
        let lanes =
            if reduce.lanes > 1 { format!("  ({} partial results)", reduce.lanes) } else { String::new() };
        writeln!(f, "{inner}{} {fold} ${}{lanes}", access_text(program, &reduce.into), reduce.value)?;
    }
    Ok(())
}

fn instr_text(program: &Program, code: &Code, instr: &Instr, reg: Reg) -> String {
    let access = |number: u32| access_text(program, &code.accesses[number as usize]);
    match *instr {
        Instr::Load(number) => access(number),
        Instr::Gather { access: number, index, stride, bound } => {
            format!("{} + {stride}·${index}, ${index} < {bound}", access(number))
        }
        Instr::Literal(bits) => match code.dtype(reg) {
            DType::F32 => f32::from_bits(bits as u32).to_string(),
            DType::F64 => f64::from_bits(bits).to_string(),
            _ => (bits as i64).to_string(),
        },
        Instr::Count(number) => index_text(&code.accesses[number as usize]),
        Instr::Product => "product".to_string(),
        Instr::Unary(op, x) => format!("{} ${x}", op.name()),
        Instr::Binary(op, a, b) => format!("{} ${a} ${b}", op.name()),
        Instr::Fma(a, b, c) => format!("fma ${a} ${b} ${c}"),
        Instr::Compare(op, a, b) => format!("{} ${a} ${b}", op.name()),
        Instr::Logic(backprop_core::ops::Logic::Not, x, _) => format!("not ${x}"),
        Instr::Logic(op, a, b) => format!("{op:?} ${a} ${b}").to_lowercase(),
        Instr::Select(c, a, b) => format!("select ${c} ${a} ${b}"),
        Instr::Cast(x) => format!("cast ${x}"),
    }
}

fn place_name(program: &Program, place: Place) -> String {
    match place {
        Place::Buffer(id) => format!("{}.{id}", program.buffer(id).label),
        Place::Local(number) => format!("local{number}"),
    }
}

fn access_text(program: &Program, access: &Access) -> String {
    format!("{}[{}]", place_name(program, access.place), index_text(access))
}

fn index_text(access: &Access) -> String {
    let loops = access.rows.iter().zip(ROWS).chain(access.columns.iter().zip(COLUMNS));
    let mut terms: Vec<String> = loops
        .filter(|(stride, _)| **stride != 0)
        .map(|(stride, name)| if *stride == 1 { name.to_string() } else { format!("{stride}{name}") })
        .collect();
    if access.offset != 0 || terms.is_empty() {
        terms.push(access.offset.to_string());
    }
    terms.join(" + ")
}

fn start(fold: Fold) -> &'static str {
    match fold {
        Fold::Sum => "0",
        Fold::Max => "-inf",
        Fold::Any => "false",
    }
}
