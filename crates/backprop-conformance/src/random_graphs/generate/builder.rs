//! The graph under construction: its inputs, the values that may become operands, the dimensions it uses.

use std::cell::RefCell;

use backprop_core::graph::records::ValueId;
use backprop_core::ops::{Literal, broadcast_shapes};
use backprop_core::{Array, Bindings, DType, Dim, Element, Graph, Shape, Tensor, Type, with_dtype};

use super::super::dice::Dice;
use super::range::Range;

/// A value that may become an operand.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// Its handle.
    pub tensor: Tensor,
    /// Its type.
    pub ty: Type,
    /// Where its elements lie.
    pub range: Range,
}

impl Made {
    /// The number of axes.
    pub fn rank(self) -> usize {
        self.ty.shape.rank()
    }
}

/// A graph under construction.
pub struct Builder {
    /// The graph.
    pub graph: Graph,
    /// Chance.
    pub dice: Dice,
    /// The float type of most values.
    pub float: DType,
    /// The dimensions that shapes are made of.
    pub dims: Vec<Dim>,
    /// The sizes of the named dimensions: one set for each run.
    pub sizes: Vec<Bindings>,
    /// No value has more elements.
    pub most_elements: usize,
    /// How many bodies are open.
    pub depth: usize,
    /// Whether operands may lie outside an op's domain, and inputs hold NaN, infinities and the like: then
    /// ranges say nothing of floats.
    pub is_wild: bool,
    pool: Vec<Made>,
    inputs: Vec<(Made, Fill)>,
}

/// How an input's elements are drawn.
#[derive(Clone, Copy, Debug)]
enum Fill {
    /// Anywhere in the range.
    Spread,
    /// From five numbers, so that many are equal.
    Grid,
    /// Anywhere in the range, and here and there one of [`SPECIAL`].
    Wild,
}

/// Numbers at which functions and formats end.
const SPECIAL: [f64; 11] =
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e-42, -1e-310, 3e38, -1e308, 1.0, 88.75];

/// Dimensions of several vectors, and beyond what a byte counts: from 256 columns on, loops are cut, shared out and left
/// out in other ways.
pub const LONG: [usize; 5] = [256, 257, 300, 521, 1031];

impl Builder {
    /// An empty graph and the choices that hold for all of it; `is_long`: every second dimension is one of [`LONG`].
    pub fn new(mut dice: Dice, is_long: bool) -> Builder {
        let float = if dice.chance(60) { DType::F32 } else { DType::F64 };
        let is_large = dice.chance(4);
        let small = [2, 3, 3, 5, 5, 7, 11, 13];
        let mut dims: Vec<Dim> = (0..3).map(|_| Dim::Size(dice.pick(&small))).collect();
        if dice.chance(25) {
            dims.push(Dim::Size(1));
        }
        if dice.chance(8) {
            dims.push(Dim::Size(0));
        }
        if dice.chance(12) {
            dims.push(Dim::Size(dice.pick(&[17, 31, 67])));
        }
        if is_large {
            dims.push(Dim::Size(dice.pick(&[257, 521, 1031])));
        }
        if is_long {
            let long = Dim::Size(dice.pick(&LONG));
            dims.extend(vec![long; dims.len()]);
        }
        let mut sizes = vec![Bindings::new()];
        if dice.chance(15) {
            sizes.push(Bindings::new());
            for (name, first, second) in [("B", 5, 3), ("T", 2, 7)].into_iter().take(1 + dice.below(2)) {
                dims.push(Dim::named(name));
                sizes[0].insert(name.to_string(), first);
                sizes[1].insert(name.to_string(), second);
            }
        }
        let most_elements = match (is_large, is_long) {
            (true, _) => 6000,
            (_, true) => 2100,
            _ => 500,
        };
        let is_wild = dice.chance(4);
        let (graph, pool, inputs) = (Graph::new(), Vec::new(), Vec::new());
        Builder { graph, dice, float, dims, sizes, most_elements, depth: 0, is_wild, pool, inputs }
    }

    /// The largest size of a dimension in any run.
    pub fn size(&self, dim: Dim) -> usize {
        self.sizes.iter().filter_map(|sizes| dim.eval(sizes).ok()).max().unwrap_or(usize::MAX)
    }

    /// The smallest size of a dimension in any run.
    pub fn least(&self, dim: Dim) -> usize {
        self.sizes.iter().filter_map(|sizes| dim.eval(sizes).ok()).min().unwrap_or(0)
    }

    /// The largest number of elements in any run.
    pub fn n_elements(&self, shape: Shape) -> usize {
        let count = |sizes: &Bindings| {
            shape.iter().map(|dim| dim.eval(sizes).unwrap_or(usize::MAX)).fold(1usize, usize::saturating_mul)
        };
        self.sizes.iter().map(count).max().unwrap_or(1)
    }

    /// Whether a value of this shape is small enough.
    pub fn fits(&self, shape: Shape) -> bool {
        shape.rank() <= 6 && self.n_elements(shape) <= self.most_elements
    }

    /// A random shape of rank 0 to 4.
    pub fn shape(&mut self) -> Shape {
        loop {
            let rank = self.dice.pick(&[0, 1, 1, 2, 2, 2, 3, 3, 4]);
            let dims: Vec<Dim> = (0..rank).map(|_| self.dice.pick(&self.dims.clone())).collect();
            let shape = Shape::new(&dims);
            if self.fits(shape) {
                return shape;
            }
        }
    }

    /// Adds a value to the pool.
    ///
    /// # Panics
    /// It is ill: the generator is wrong.
    pub fn add(&mut self, tensor: Tensor, range: Range) -> Made {
        let Some(ty) = tensor.ty() else {
            let faults = tensor.with_records(|records| records.faults_of([tensor.id()]));
            panic!("the generator made an ill value: {faults:?}");
        };
        let made = Made { tensor, ty, range: range.held(ty.dtype) };
        if self.fits(ty.shape) {
            self.pool.push(made);
        }
        made
    }

    /// Runs `body` inside an open body: what it makes is forgotten.
    pub fn within<R>(builder: &RefCell<&mut Builder>, body: impl FnOnce(&mut Builder) -> R) -> R {
        let mut builder = builder.borrow_mut();
        let known = builder.pool.len();
        builder.depth += 1;
        let result = body(&mut builder);
        builder.depth -= 1;
        builder.pool.truncate(known);
        result
    }

    /// One of the values for which `fits` holds; the newer ones more often.
    pub fn find(&mut self, fits: impl Fn(&Made) -> bool) -> Option<Made> {
        let found: Vec<Made> = self.pool.iter().copied().filter(fits).collect();
        match found.len() {
            0 => None,
            n => {
                let back = self.dice.below(n).min(self.dice.below(n));
                Some(found[n - 1 - back])
            }
        }
    }

    /// A float value.
    pub fn float(&mut self) -> Made {
        self.float_where(|_| true)
    }

    /// A float value for which `holds` does; where there is none, a new one of a random shape that may not.
    pub fn float_where(&mut self, holds: impl Fn(&Made) -> bool) -> Made {
        let found = self.find(|made| made.ty.dtype.is_float() && holds(made));
        found.unwrap_or_else(|| {
            let ty = Type { dtype: self.float, shape: self.shape() };
            self.fresh(ty, Range::within(2.0))
        })
    }

    /// An integer value.
    pub fn int(&mut self) -> Made {
        match self.find(|made| made.ty.dtype.is_int()) {
            Some(made) if !self.dice.chance(15) => made,
            _ => {
                let dtype =
                    self.dice.pick(&[DType::I64, DType::I64, DType::I32, DType::I32, DType::U32, DType::U8]);
                let ty = Type { dtype, shape: self.shape() };
                let low = if matches!(dtype, DType::U32 | DType::U8) { 0.0 } else { -6.0 };
                self.fresh(ty, Range::new(low, 6.0))
            }
        }
    }

    /// A truth value.
    pub fn truth(&mut self) -> Made {
        match self.find(|made| made.ty.dtype == DType::Bool) {
            Some(made) if !self.dice.chance(15) => made,
            _ => {
                let ty = Type { dtype: DType::Bool, shape: self.shape() };
                self.fresh(ty, Range::new(0.0, 1.0))
            }
        }
    }

    /// A new leaf: an input, a constant or a full.
    pub fn fresh(&mut self, ty: Type, range: Range) -> Made {
        let is_constant = self.depth > 0 || self.dice.chance(12);
        let tensor = match (is_constant, ty.shape.sizes()) {
            (false, _) => return self.given(ty, range),
            (true, Some(sizes)) if self.n_elements(ty.shape) <= 60 && !self.dice.chance(30) => {
                let array = drawn(&mut self.dice, ty.dtype, sizes, range, Fill::Spread);
                self.graph.constant(array)
            }
            (true, _) => {
                let value = element(&mut self.dice, range, ty.dtype, Fill::Spread);
                let value = match ty.dtype.is_float() {
                    true => Literal::Float(value),
                    false => Literal::Int(value as i64),
                };
                self.graph.full(ty, value)
            }
        };
        self.add(tensor, range)
    }

    /// A new input.
    pub fn given(&mut self, ty: Type, range: Range) -> Made {
        let name = format!("x{}", self.inputs.len());
        let fill = match self.is_wild && ty.dtype.is_float() {
            true => Fill::Wild,
            false if self.dice.chance(30) => Fill::Grid,
            false => Fill::Spread,
        };
        let made = Made { tensor: self.graph.input(&name, ty), ty, range };
        self.inputs.push((made, fill));
        self.add(made.tensor, range)
    }

    /// A second operand for `a`: of its element type, and a shape that broadcasts with its.
    pub fn partner(&mut self, a: Made) -> Made {
        let joined = |own: Shape| broadcast_shapes(a.ty.shape, own).ok();
        let candidates: Vec<Made> = self.pool.iter().copied().filter(|b| b.ty.dtype == a.ty.dtype).collect();
        let candidates: Vec<Made> = candidates
            .into_iter()
            .filter(|b| joined(b.ty.shape).is_some_and(|shape| self.fits(shape)))
            .collect();
        if !candidates.is_empty() && self.dice.chance(80) {
            let n = candidates.len();
            return candidates[n - 1 - self.dice.below(n).min(self.dice.below(n))];
        }
        let cut = self.dice.below(a.rank() + 1);
        let mut dims = a.ty.shape.dims()[if self.dice.chance(50) { 0 } else { cut }..].to_vec();
        for dim in dims.iter_mut() {
            if self.dice.chance(20) {
                *dim = Dim::Size(1);
            }
        }
        let low = if matches!(a.ty.dtype, DType::U32 | DType::U8 | DType::Bool) { 0.0 } else { -2.0 };
        let high = if a.ty.dtype == DType::Bool { 1.0 } else { 2.0 };
        self.fresh(Type { shape: Shape::new(&dims), ..a.ty }, Range::new(low, high))
    }

    /// A value of the type of `a` that is no larger than `limit` in size: `a` itself, or `a` squeezed.
    pub fn tame(&mut self, a: Made, limit: f64) -> Made {
        if a.range.size() <= limit || self.is_left_wild(a) {
            return a;
        }
        let x = a.tensor;
        if !a.ty.dtype.is_float() {
            let low = if matches!(a.ty.dtype, DType::U32 | DType::U8) { 0.0 } else { -limit };
            let (low, high) = (low.trunc(), limit.trunc());
            return self.add(x.maximum(low).minimum(high), Range::new(low, high));
        }
        match self.dice.below(4) {
            0 if limit >= 1.0 => self.add(x.tanh(), Range::within(1.0)),
            1 if limit >= 1.0 => self.add(x.sin(), Range::within(1.0)),
            2 if limit >= 1.0 => self.add(x.sigmoid(), Range::new(0.0, 1.0)),
            _ => {
                // A power of two: the product is exact.
                let scale = 2f64.powi((limit / a.range.size()).log2().floor() as i32);
                self.add(x * scale, Range::new(a.range.low * scale, a.range.high * scale))
            }
        }
    }

    /// Whether an operand stays outside a domain.
    fn is_left_wild(&mut self, a: Made) -> bool {
        self.is_wild && a.ty.dtype.is_float() && self.dice.chance(70)
    }

    /// A float value of the type of `a` that is nowhere below `floor`.
    pub fn positive(&mut self, a: Made, floor: f64) -> Made {
        if a.range.low >= floor || self.is_left_wild(a) {
            return a;
        }
        let a = self.tame(a, 30.0);
        let (x, size) = (a.tensor, a.range.size());
        match self.dice.below(3) {
            0 => self.add(x.softplus() + floor, Range::new(floor, size + 1.0 + floor)),
            1 => self.add(x.square() + floor, Range::new(floor, size * size + floor)),
            _ => self.add(x.abs() + floor, Range::new(floor, size + floor)),
        }
    }

    /// The arrays of one run, with the sizes of that run.
    pub fn arrays(&self, dice: &mut Dice, run: usize) -> Vec<(ValueId, Array)> {
        let of = |(made, fill): &(Made, Fill)| {
            let sizes = made.ty.shape.eval(&self.sizes[run]).expect("every name has a size");
            (made.tensor.id(), drawn(dice, made.ty.dtype, &sizes, made.range, *fill))
        };
        self.inputs.iter().map(of).collect()
    }

    /// The float inputs.
    pub fn float_inputs(&self) -> Vec<Made> {
        self.inputs.iter().map(|(made, _)| *made).filter(|made| made.ty.dtype.is_float()).collect()
    }
}

fn drawn(dice: &mut Dice, dtype: DType, sizes: &[usize], range: Range, fill: Fill) -> Array {
    let n = sizes.iter().product();
    with_dtype!(dtype, |T| {
        let elements: Vec<T> = (0..n).map(|_| T::from_f64(element(dice, range, dtype, fill))).collect();
        Array::new(sizes, elements).expect("as many elements as the sizes hold")
    })
}

fn element(dice: &mut Dice, Range { low, high }: Range, dtype: DType, fill: Fill) -> f64 {
    match (dtype.is_float(), fill) {
        (true, Fill::Wild) if dice.chance(8) => dice.pick(&SPECIAL),
        (true, Fill::Spread | Fill::Wild) => dice.between(low, high),
        (true, Fill::Grid) => low + (high - low) * dice.below(5) as f64 / 4.0,
        (false, _) => low + dice.below((high - low) as usize + 1) as f64,
    }
}
