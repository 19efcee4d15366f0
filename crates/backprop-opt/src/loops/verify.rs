//! What must hold of a program before a backend may run it.
//!
//! 1. An input, output or constant is what its home says, once; a buffer in the arena lies inside it,
//!    aligned.
//! 2. Every access has a stride for each loop, and stays inside its buffer or local for all iterations.
//! 3. A register is computed before it is read, and the types of operands fit. No access is both a place and a
//!    number.
//! 4. Only outputs, arena buffers and locals are written.
//! 5. A reduction's accumulator is listed with the nest, under the same fold (`Any` is of truth values, the others
//!    of numbers); `lanes` is a power of two, at most [`MOST_LANES`]. A contraction's stage has no reduction and no
//!    local.
//! 6. A factor stays inside its buffer; `k_block` is at least 1.
//! 7. Calls, bodies and their arenas agree with their buffers in type, number and size.
//!
//! The rest, of memory, is in [`flow`].

use backprop_core::ops::Logic;
use backprop_core::{DType, Type};

use super::flow;
use super::{
    ALIGN, Access, BufferId, Call, Code, Contraction, Factor, Fold, Home, Instr, Kind, Local, Nest, Place,
    Program, Reg, Stage,
};

/// The most elements of a buffer, or of the locals of a nest: a block of rows of them still has a number of bytes.
const MOST: usize = isize::MAX as usize >> 12;

/// The most partial results of a reduction: a block of rows of them still fits a cache.
const MOST_LANES: usize = 1 << 12;

/// Where code stands: the loops around it and what it may name.
struct Around<'a> {
    program: &'a Program,
    rows: &'a [usize],
    locals: &'a [Local],
    in_contraction: bool,
}

impl Program {
    /// Checks every rule above, and those of memory.
    ///
    /// # Errors
    /// The first rule that is broken, and where.
    pub fn verify(&self) -> Result<(), String> {
        self.verify_accesses()?;
        flow::verify(self)
    }

    /// Checks rules 1 to 7: what a kernel by itself rests on, whatever its memory holds and shares.
    ///
    /// # Errors
    /// The first rule that is broken, and where.
    pub fn verify_accesses(&self) -> Result<(), String> {
        self.verify_buffers()?;
        for (position, step) in self.steps.iter().enumerate() {
            let told = match &step.kind {
                Kind::Nest(nest) => self.verify_nest(nest),
                Kind::Contraction(contraction) => self.verify_contraction(contraction),
                Kind::Call(call) => self.verify_call(call),
                Kind::Cond(cond) => [&cond.then, &cond.otherwise]
                    .into_iter()
                    .try_for_each(|body| self.verify_body(body, cond.arena, &cond.inputs, &cond.outputs))
                    .and_then(|()| {
                        let condition = self.known(cond.condition)?;
                        let holds = (condition.dtype, condition.len) == (DType::Bool, 1);
                        want(holds, || "the condition is no bool")
                    }),
                Kind::Scan(scan) => self.verify_scan(scan),
            };
            told.map_err(|why| format!("step {position}: {why}"))?;
        }
        Ok(())
    }

    fn verify_buffers(&self) -> Result<(), String> {
        for (id, buffer) in self.buffers.iter().enumerate() {
            want(buffer.len <= MOST, || format!("buffer {id} of {} elements", buffer.len))?;
            let is_listed = |list: &[BufferId], at: usize| list.get(at) == Some(&(id as BufferId));
            let holds = match &buffer.home {
                Home::Input(at) => is_listed(&self.inputs, *at),
                Home::Output(at) => is_listed(&self.outputs, *at),
                Home::Constant(array) => (array.dtype(), array.len()) == (buffer.dtype, buffer.len),
                Home::Arena(offset) => {
                    offset.is_multiple_of(ALIGN)
                        && offset.checked_add(buffer.bytes()).is_some_and(|end| end <= self.arena_bytes)
                }
            };
            want(holds, || format!("buffer {id} is not at its home, {:?}", buffer.home))?;
        }
        let homes = self.inputs.iter().enumerate().map(|(at, &id)| (id, Home::Input(at)));
        let homes = homes.chain(self.outputs.iter().enumerate().map(|(at, &id)| (id, Home::Output(at))));
        for (id, home) in homes {
            let holds = match (&self.known(id)?.home, &home) {
                (Home::Input(a), Home::Input(b)) | (Home::Output(a), Home::Output(b)) => a == b,
                _ => false,
            };
            want(holds, || format!("buffer {id} is listed as {home:?}, and is not"))?;
        }
        Ok(())
    }

    fn verify_nest(&self, nest: &Nest) -> Result<(), String> {
        let around = Around { program: self, rows: &nest.rows, locals: &nest.locals, in_contraction: false };
        let n_kept = nest.locals.iter().fold(0usize, |sum, local| sum.saturating_add(local.len));
        want(n_kept <= MOST, || format!("locals of {n_kept} elements are too large"))?;
        for &(place, fold) in &nest.accumulators {
            around.want_writable(place)?;
            want_fold(fold, around.known(place)?.0)?;
        }
        for stage in &nest.stages {
            around.verify_stage(stage)?;
            for reduce in &stage.reduces {
                let is_listed = nest.accumulators.contains(&(reduce.into.place, reduce.fold));
                want(is_listed, || format!("{:?} is no accumulator of the nest", reduce.into.place))?;
            }
        }
        Ok(())
    }

    fn verify_contraction(&self, contraction: &Contraction) -> Result<(), String> {
        let Contraction { dtype, m, n, k, k_block, a, b, stage, .. } = contraction;
        want(*k_block > 0, || "a block of no products")?;
        want(*dtype != DType::Bool, || "a contraction of bools")?;
        self.verify_factor(contraction, a, *m, *k)?;
        self.verify_factor(contraction, b, *k, *n)?;
        want(stage.columns[..] == [*n], || format!("the stage's columns are not [{n}]"))?;
        want(stage.reduces.is_empty(), || "a contraction that reduces")?;
        let rows = contraction.rows();
        Around { program: self, rows: &rows, locals: &[], in_contraction: true }.verify_stage(stage)
    }

    fn verify_factor(
        &self,
        contraction: &Contraction,
        factor: &Factor,
        n_rows: usize,
        n_columns: usize,
    ) -> Result<(), String> {
        let buffer = self.known(factor.buffer)?;
        want(buffer.dtype == contraction.dtype, || "a factor of another type")?;
        let access = Access {
            place: Place::Buffer(factor.buffer),
            offset: factor.offset,
            rows: factor.batch_strides.clone(),
            columns: [factor.row_stride, factor.column_stride].into_iter().collect(),
        };
        want(
            access.rows.len() == contraction.batch.len(),
            || "a factor without a stride for each batch loop",
        )?;
        want_reach(&access, &contraction.batch, &[n_rows, n_columns], buffer.len)
    }

    fn verify_call(&self, call: &Call) -> Result<(), String> {
        let outputs = call.outputs.iter().filter_map(|&(id, ty)| Some((id?, ty)));
        for (id, ty) in call.inputs.iter().copied().chain(outputs) {
            let buffer = self.known(id)?;
            let holds = buffer.dtype == ty.dtype && ty.shape.n_elements() == Some(buffer.len);
            want(holds, || format!("buffer {id} of the call is no {ty}"))?;
        }
        let types: Vec<Type> = call.inputs.iter().map(|&(_, ty)| ty).collect();
        let inferred = call.op.infer(&types).map_err(|ill| format!("{}: {}", call.op.name(), ill.rule))?;
        let holds = inferred.iter().eq(call.outputs.iter().map(|(_, ty)| ty));
        want(holds, || format!("the results of {} are of other types", call.op.name()))?;
        let written = call.outputs.iter().filter_map(|(id, _)| *id);
        written.into_iter().try_for_each(|id| self.want_writable(id))
    }

    fn verify_scan(&self, scan: &super::Scan) -> Result<(), String> {
        let counts = [scan.last.len(), scan.room.len()];
        want(counts == [scan.carries.len(); 2], || "a carry without its last value or its room")?;
        let counter = self.known(scan.counter)?;
        want((counter.dtype, counter.len) == (DType::I64, 1), || "the counter is no i64")?;
        let body = &scan.body;
        body.verify().map_err(|why| format!("in the body: {why}"))?;
        self.want_arena(body, scan.arena)?;
        let same = |inner: Option<&BufferId>, outer: BufferId, slices: usize| {
            let inner =
                inner.and_then(|&id| body.known(id).ok()).ok_or("a value without a place in the body")?;
            let outer = self.known(outer)?;
            let holds = inner.dtype == outer.dtype && inner.len.checked_mul(slices) == Some(outer.len);
            want(holds, || format!("{} and {} do not fit", inner.label, outer.label))
        };
        let (n, length) = (scan.carries.len(), scan.length);
        let n_inputs = 1 + n + scan.xs.len() + scan.captures.len();
        let counts = (body.inputs.len(), body.outputs.len());
        want(counts == (n_inputs, n + scan.ys.len()), || "the body takes or gives another number of values")?;
        same(body.inputs.first(), scan.counter, 1)?;
        let given = scan.carries.iter().map(|&id| (id, 1)).chain(scan.xs.iter().map(|&id| (id, length)));
        let given = given.chain(scan.captures.iter().map(|&id| (id, 1)));
        for (position, (outer, slices)) in given.enumerate() {
            same(body.inputs.get(1 + position), outer, slices)?;
        }
        let made = scan.last.iter().map(|&id| (id, 1)).chain(scan.ys.iter().map(|&id| (id, length)));
        for (position, (outer, slices)) in made.enumerate() {
            same(body.outputs.get(position), outer, slices)?;
            self.want_writable(outer)?;
        }
        for (carry, room) in scan.room.iter().enumerate() {
            for &id in room {
                same(body.outputs.get(carry), id, 1)?;
                self.want_writable(id)?;
            }
        }
        self.want_writable(scan.counter)
    }

    fn verify_body(
        &self,
        body: &Program,
        arena: usize,
        inputs: &[BufferId],
        outputs: &[BufferId],
    ) -> Result<(), String> {
        body.verify().map_err(|why| format!("in a body: {why}"))?;
        self.want_arena(body, arena)?;
        let counts = (body.inputs.len(), body.outputs.len());
        want(counts == (inputs.len(), outputs.len()), || "a body takes or gives another number of values")?;
        let pairs = body.inputs.iter().zip(inputs).chain(body.outputs.iter().zip(outputs));
        for (&inner, &outer) in pairs {
            let (inner, outer) = (body.known(inner)?, self.known(outer)?);
            let holds = (inner.dtype, inner.len) == (outer.dtype, outer.len);
            want(holds, || format!("{} and {} do not fit", inner.label, outer.label))?;
        }
        outputs.iter().try_for_each(|&id| self.want_writable(id))
    }

    fn want_arena(&self, body: &Program, arena: usize) -> Result<(), String> {
        let end = arena.checked_add(body.arena_bytes);
        want(
            arena.is_multiple_of(ALIGN) && end.is_some_and(|end| end <= self.arena_bytes),
            || "the arena of a body leaves that of the program",
        )
    }

    fn known(&self, id: BufferId) -> Result<&super::Buffer, String> {
        self.buffers.get(id as usize).ok_or_else(|| format!("there is no buffer {id}"))
    }

    fn want_writable(&self, id: BufferId) -> Result<(), String> {
        let holds = matches!(self.known(id)?.home, Home::Output(_) | Home::Arena(_));
        want(holds, || format!("buffer {id} is written, and must only be read"))
    }
}

impl Around<'_> {
    fn verify_stage(&self, stage: &Stage) -> Result<(), String> {
        self.verify_code(&stage.code, &stage.columns)?;
        let registers = stage.code.instrs.len();
        let written = stage.stores.iter().map(|store| (store.value, &store.to));
        let folded = stage.reduces.iter().map(|reduce| (reduce.value, &reduce.into));
        for (value, access) in written.chain(folded) {
            want((value as usize) < registers, || format!("register {value} is written, and is none"))?;
            let found = self.verify_access(access, &stage.columns)?;
            want(found == stage.code.dtype(value), || format!("register {value} is written as {found}"))?;
            self.want_writable(access.place)?;
        }
        for reduce in &stage.reduces {
            want_fold(reduce.fold, stage.code.dtype(reduce.value))?;
            let holds = reduce.lanes.is_power_of_two() && reduce.lanes <= MOST_LANES;
            want(holds, || format!("{} lanes", reduce.lanes))?;
        }
        Ok(())
    }

    fn verify_code(&self, code: &Code, columns: &[usize]) -> Result<(), String> {
        want(code.instrs.len() == code.dtypes.len(), || "instructions and types differ in number")?;
        let mut is_read = vec![false; code.accesses.len()];
        for instr in &code.instrs {
            if let Instr::Load(number) | Instr::Gather { access: number, .. } = *instr
                && let Some(is_read) = is_read.get_mut(number as usize)
            {
                *is_read = true;
            }
        }
        for (position, (instr, &dtype)) in code.instrs.iter().zip(&code.dtypes).enumerate() {
            let is_early = instr.operands().iter().all(|&operand| (operand as usize) < position);
            want(is_early, || format!("register {position} reads one that comes later"))?;
            let is_both =
                matches!(*instr, Instr::Count(number) if is_read.get(number as usize) == Some(&true));
            want(!is_both, || format!("register {position} counts what is read"))?;
            let told = self.well_typed(code, instr, dtype, columns)?;
            want(told, || format!("register {position}: {instr:?} does not give {dtype} of its operands"))?;
        }
        Ok(())
    }

    fn well_typed(
        &self,
        code: &Code,
        instr: &Instr,
        dtype: DType,
        columns: &[usize],
    ) -> Result<bool, String> {
        let access = |number: u32| {
            code.accesses.get(number as usize).ok_or_else(|| format!("there is no access {number}"))
        };
        let of = |reg: Reg| code.dtype(reg);
        Ok(match *instr {
            Instr::Load(number) => self.verify_access(access(number)?, columns)? == dtype,
            Instr::Gather { access: number, index, stride, bound } => {
                let first = access(number)?;
                let mut last = first.clone();
                let reach = i64::try_from(bound).ok().and_then(|bound| stride.checked_mul(bound - 1));
                let reach = reach.and_then(|reach| isize::try_from(reach).ok()).filter(|_| bound > 0);
                let Some(reach) = reach else {
                    // Of no elements, none is read.
                    let is_one = self.known(first.place)?.0 == dtype;
                    return Ok(bound == 0 && is_one && of(index).is_int());
                };
                last.offset = last.offset.checked_add(reach).ok_or("a gather that reaches too far")?;
                self.verify_access(&last, columns)?;
                self.verify_access(first, columns)? == dtype && of(index).is_int()
            }
            Instr::Literal(bits) => dtype != DType::Bool || bits <= 1,
            Instr::Count(number) => {
                self.want_strides(access(number)?, columns)?;
                dtype == DType::I64
            }
            Instr::Product => self.in_contraction && dtype != DType::Bool,
            Instr::Unary(op, x) => {
                of(x) == dtype && (dtype.is_float() || dtype.is_int() && op.reference_int().is_some())
            }
            Instr::Binary(_, a, b) => of(a) == dtype && of(b) == dtype && dtype.is_number(),
            Instr::Fma(a, b, c) => [a, b, c].iter().all(|&x| of(x) == dtype) && dtype.is_float(),
            Instr::Compare(_, a, b) => of(a) == of(b) && dtype == DType::Bool,
            Instr::Logic(Logic::Not, x, _) => of(x) == DType::Bool && dtype == DType::Bool,
            Instr::Logic(_, a, b) => [of(a), of(b), dtype] == [DType::Bool; 3],
            Instr::Select(c, a, b) => of(c) == DType::Bool && of(a) == dtype && of(b) == dtype,
            Instr::Cast(_) => true,
        })
    }

    /// Checks an access; the type of its elements.
    fn verify_access(&self, access: &Access, columns: &[usize]) -> Result<DType, String> {
        self.want_strides(access, columns)?;
        let (dtype, len) = self.known(access.place)?;
        let stays = matches!(access.place, Place::Buffer(_)) || access.rows.iter().all(|&stride| stride == 0);
        want(stays, || "a row loop that moves a local")?;
        want_reach(access, self.rows, columns, len)?;
        Ok(dtype)
    }

    /// The type and the number of the elements at a place.
    fn known(&self, place: Place) -> Result<(DType, usize), String> {
        match place {
            Place::Buffer(id) => self.program.known(id).map(|buffer| (buffer.dtype, buffer.len)),
            Place::Local(number) => {
                let local = self.locals.get(number as usize);
                let local = local.ok_or_else(|| format!("there is no local {number}"))?;
                Ok((local.dtype, local.len))
            }
        }
    }

    fn want_strides(&self, access: &Access, columns: &[usize]) -> Result<(), String> {
        let holds = (access.rows.len(), access.columns.len()) == (self.rows.len(), columns.len());
        want(holds, || format!("{access:?} has not one stride for each loop"))
    }

    fn want_writable(&self, place: Place) -> Result<(), String> {
        match place {
            Place::Buffer(id) => self.program.want_writable(id),
            Place::Local(_) => self.known(place).map(drop),
        }
    }
}

fn want_fold(fold: Fold, dtype: DType) -> Result<(), String> {
    want((fold == Fold::Any) == (dtype == DType::Bool), || format!("{fold:?} of {dtype}"))
}

fn want_reach(access: &Access, rows: &[usize], columns: &[usize], len: usize) -> Result<(), String> {
    if rows.iter().chain(columns).any(|&size| size == 0) {
        return Ok(());
    }
    let range = access.range(rows, columns);
    let holds = range.is_some_and(|(low, high)| low >= 0 && (high as usize) < len);
    want(holds, || format!("{access:?} leaves its {len} elements"))
}

fn want<S: Into<String>>(holds: bool, why: impl FnOnce() -> S) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why().into()) }
}
