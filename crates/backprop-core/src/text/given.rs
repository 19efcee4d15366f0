//! What a text gives for an op: attributes, the types of the operands, the type of the result.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::lex::{Span, Token, clip, unquote};
use super::literal::read_float;
use crate::array::{DType, MAX_RANK};
use crate::graph::body::Body;
use crate::ops::{Axes, Literal};
use crate::types::{Dim, Dims, Reader, Shape, Type, Wrong};

/// What is written behind an op's name: the op is built from this.
///
/// Each method names an attribute and says what it must be; what the text says instead becomes an
/// error at its place. An attribute that no method asked for is an error as well.
///
/// ```
/// use backprop_core::ops::{Op, Sum};
/// use backprop_core::text::Given;
/// fn sum(given: &Given) -> Result<Op, String> {
///     Ok(Sum { axes: given.axes("axes")? }.into())
/// }
/// ```
pub struct Given<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) inputs: Vec<Type>,
    pub(super) ty: Option<Type>,
    pub(super) asked: RefCell<Vec<&'static str>>,
    pub(super) failed: Cell<Option<Span>>,
}

/// One attribute as it is written.
pub(super) struct Entry<'a> {
    pub name: String,
    pub name_span: Span,
    pub value: &'a str,
    pub span: Span,
    /// The value, where it is a body.
    pub body: Option<Arc<Body>>,
}

impl<'a> Given<'a> {
    /// The types of the operands.
    pub fn inputs(&self) -> &[Type] {
        &self.inputs
    }

    /// The type of the result, for ops that cannot know it.
    ///
    /// # Errors
    /// It is not written.
    pub fn ty(&self) -> Result<Type, String> {
        self.ty.ok_or_else(|| "the type of the result must be written: `: f32[2, 3]`".to_string())
    }

    /// Whether the attribute is written.
    pub fn has(&self, name: &'static str) -> bool {
        self.entry(name).is_some()
    }

    /// An integer.
    ///
    /// # Errors
    /// It is missing or no integer.
    pub fn int(&self, name: &'static str) -> Result<i64, String> {
        let entry = self.required(name)?;
        entry.value.parse().map_err(|_| self.wrong(entry, "an integer"))
    }

    /// A number, exact to its last bit.
    ///
    /// # Errors
    /// It is missing or no number.
    pub fn float(&self, name: &'static str) -> Result<f64, String> {
        let entry = self.required(name)?;
        read_float(entry.value).ok_or_else(|| self.wrong(entry, "a number"))
    }

    /// A number of this element type; `true` and `false` for `bool`.
    ///
    /// # Errors
    /// It is missing or no number.
    pub fn number(&self, name: &'static str, dtype: DType) -> Result<Literal, String> {
        let entry = self.required(name)?;
        match entry.value {
            "true" if !dtype.is_float() => Ok(Literal::Int(1)),
            "false" if !dtype.is_float() => Ok(Literal::Int(0)),
            _ if dtype.is_float() => Ok(Literal::Float(self.float(name)?)),
            _ => Ok(Literal::Int(self.int(name)?)),
        }
    }

    /// An axis of a value with `rank` axes; −1 is the last.
    ///
    /// # Errors
    /// It is missing, no integer, or out of range.
    pub fn axis(&self, name: &'static str, rank: usize) -> Result<usize, String> {
        let axis = self.int(name)?;
        counted(axis, rank).ok_or_else(|| {
            self.failed.set(self.entry(name).map(|entry| entry.span));
            format!("axis {axis} is out of range for rank {rank}")
        })
    }

    /// A list of axes of the first operand; −1 is the last.
    ///
    /// # Errors
    /// It is missing, no list of integers, or one of them is out of range.
    pub fn axes(&self, name: &'static str) -> Result<Axes, String> {
        self.axes_of(name, self.rank(0))
    }

    /// As [`Given::axes`]; every axis of the first operand where the attribute is missing.
    ///
    /// # Errors
    /// It is no list of integers, or one of them is out of range.
    pub fn axes_or_all(&self, name: &'static str) -> Result<Axes, String> {
        match self.has(name) {
            true => Ok(self.axes(name)?.sorted()),
            false => Ok(Axes::new(&(0..self.rank(0)).collect::<Vec<_>>())),
        }
    }

    /// A list of axes of operand `operand`; none where the attribute is missing.
    ///
    /// # Errors
    /// It is no list of integers, or one of them is out of range.
    pub fn axes_or_none(&self, name: &'static str, operand: usize) -> Result<Axes, String> {
        if self.has(name) { self.axes_of(name, self.rank(operand)) } else { Ok(Axes::default()) }
    }

    fn axes_of(&self, name: &'static str, rank: usize) -> Result<Axes, String> {
        let entry = self.required(name)?;
        let list = self.ints(name)?;
        let axes: Option<Vec<usize>> = list.iter().map(|&axis| counted(axis, rank)).collect();
        let axes = axes.filter(|axes| axes.len() <= MAX_RANK);
        axes.map(|axes| Axes::new(&axes)).ok_or_else(|| {
            self.failed.set(Some(entry.span));
            format!("{} are no axes of a value of rank {rank}", clip(entry.value))
        })
    }

    /// A list of integers.
    ///
    /// # Errors
    /// It is missing or no list of integers.
    pub fn ints(&self, name: &'static str) -> Result<Vec<i64>, String> {
        let entry = self.required(name)?;
        let wrong = || self.wrong(entry, "a list of integers, as `[0, 1]`");
        let inner =
            entry.value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or_else(wrong)?;
        if inner.trim().is_empty() {
            return Ok(Vec::new());
        }
        inner.split(',').map(|number| number.trim().parse().map_err(|_| wrong())).collect()
    }

    /// A dimension, as `B*T + 1`.
    ///
    /// # Errors
    /// It is missing or no dimension.
    pub fn dim(&self, name: &'static str) -> Result<Dim, String> {
        self.read(name, |reader| reader.dim())
    }

    /// A list of dimensions, as `[B, 2*T]`.
    ///
    /// # Errors
    /// It is missing or no such list.
    pub fn shape(&self, name: &'static str) -> Result<Shape, String> {
        self.read(name, |reader| reader.shape())
    }

    /// A list of numbers or dimensions that is no shape: where something begins or ends.
    ///
    /// # Errors
    /// It is missing or no such list.
    pub fn dims(&self, name: &'static str) -> Result<Dims, String> {
        Ok(self.read(name, |reader| reader.dims())?.into_iter().collect())
    }

    /// An element type.
    ///
    /// # Errors
    /// It is missing or no element type.
    pub fn dtype(&self, name: &'static str) -> Result<DType, String> {
        let entry = self.required(name)?;
        DType::from_name(entry.value)
            .ok_or_else(|| self.wrong(entry, "an element type (f32 f64 i32 i64 u32 u8 bool)"))
    }

    /// A truth value.
    ///
    /// # Errors
    /// It is missing or neither `true` nor `false`.
    pub fn truth(&self, name: &'static str) -> Result<bool, String> {
        let entry = self.required(name)?;
        match entry.value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(self.wrong(entry, "`true` or `false`")),
        }
    }

    /// A count of operands.
    ///
    /// # Errors
    /// It is missing, or there are not that many.
    pub fn count(&self, name: &'static str) -> Result<usize, String> {
        let entry = self.required(name)?;
        let count = entry.value.parse().ok().filter(|&n: &usize| n <= self.inputs.len());
        count
            .ok_or_else(|| self.wrong(entry, &format!("a number of operands, at most {}", self.inputs.len())))
    }

    /// A body that the op runs.
    ///
    /// # Errors
    /// It is missing or no body.
    pub fn body(&self, name: &'static str) -> Result<Arc<Body>, String> {
        let entry = self.required(name)?;
        entry.body.clone().ok_or_else(|| self.wrong(entry, "a body, as `body(x) { ... }`"))
    }

    /// A name, with or without quotes.
    ///
    /// # Errors
    /// It is missing or no name.
    pub fn name(&self, name: &'static str) -> Result<String, String> {
        let entry = self.required(name)?;
        match unquote(entry.value) {
            (Token::Quoted(text), length) if length == entry.value.len() => Ok(text.into_owned()),
            _ if entry.value.contains(|c| !super::lex::is_word(c)) => Err(self.wrong(entry, "a name")),
            _ => Ok(entry.value.to_string()),
        }
    }

    /// The rank of operand `idx`, 0 where there is none: the type rule says so better.
    pub fn rank(&self, idx: usize) -> usize {
        self.inputs.get(idx).map_or(0, |ty| ty.shape.rank())
    }

    fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&mut Reader) -> Result<T, Wrong>,
    ) -> Result<T, String> {
        let entry = self.required(name)?;
        let mut reader = Reader::new(entry.value);
        let value = read(&mut reader).and_then(|value| reader.end().map(|()| value));
        value.map_err(|Wrong { at, why }| {
            let start = entry.span.start + at;
            self.failed.set(Some(Span { start, end: entry.span.end.max(start) }));
            format!("attribute `{name}`: {why}")
        })
    }

    fn entry(&self, name: &'static str) -> Option<&Entry<'a>> {
        if !self.asked.borrow().contains(&name) {
            self.asked.borrow_mut().push(name);
        }
        self.entries.iter().find(|entry| entry.name == name)
    }

    fn required(&self, name: &'static str) -> Result<&Entry<'a>, String> {
        self.entry(name).ok_or_else(|| format!("attribute `{name}` is missing"))
    }

    fn wrong(&self, entry: &Entry, expected: &str) -> String {
        self.failed.set(Some(entry.span));
        format!("attribute `{}` must be {expected}, not `{}`", entry.name, clip(entry.value))
    }
}

/// The axis counted from the front.
fn counted(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}
