//! The parts of a node: operands, attributes, types, constants.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Block, Label, Parser, Skip};
use crate::graph::body::Body;
use crate::graph::place::Place;
use crate::graph::records::{Inputs, ValueId};
use crate::ops::{Constant, Op};
use crate::text::given::Entry;
use crate::text::lex::{Span, Token, clip};
use crate::text::literal::read_literals;
use crate::types::Type;

/// How many attributes an op may have.
const MOST_ATTRIBUTES: usize = 64;

/// How deep bodies may nest.
const MOST_BODIES: usize = 32;
impl<'a> Parser<'a> {
    /// `(x, %2)`, or nothing. `None` for an operand that is not known.
    pub(super) fn operands(&mut self, block: &mut Block<'a>) -> Result<Vec<Option<ValueId>>, Skip> {
        let mut operands = Vec::new();
        if !self.eat('(') {
            return Ok(operands);
        }
        while !self.eat(')') {
            if !operands.is_empty() && !self.eat(',') {
                let (token, span) = self.lexer.peek();
                return self.fail(span, format!("expected `,` or `)`, found {}", token.show()));
            }
            let (label, span) = self.label()?;
            operands.push(self.lookup(block, label, span));
        }
        Ok(operands)
    }

    /// `{axis: 1, shape: [B, 2]}`, or nothing.
    pub(super) fn attributes(&mut self) -> Result<Vec<Entry<'a>>, Skip> {
        let mut entries: Vec<Entry<'a>> = Vec::new();
        let mut seen = BTreeSet::new();
        if !self.eat('{') {
            return Ok(entries);
        }
        self.lexer.skip_lines();
        while !self.eat('}') {
            if !entries.is_empty() {
                self.expect(',')?;
                self.lexer.skip_lines();
            }
            let (token, name_span) = self.lexer.next();
            let name = match token {
                Token::Word(name) => name.to_string(),
                Token::Quoted(name) => name.into_owned(),
                other => {
                    return self.fail(
                        name_span,
                        format!("expected the name of an attribute or `}}`, found {}", other.show()),
                    );
                }
            };
            self.expect(':')?;
            if entries.len() == MOST_ATTRIBUTES {
                return self.fail(name_span, format!("at most {MOST_ATTRIBUTES} attributes are possible"));
            }
            if !seen.insert(name.clone()) {
                return self.fail(name_span, format!("attribute `{}` is given twice", clip(&name)));
            }
            if let Some((body, span)) = self.body()? {
                entries.push(Entry { name, name_span, value: "a body", span, body: Some(body) });
                self.lexer.skip_lines();
                continue;
            }
            let (value, span) = self.lexer.until(b",}");
            if value.is_empty() {
                return self.fail(span, format!("expected the value of `{}`", clip(&name)));
            }
            entries.push(Entry { name, name_span, value, span, body: None });
            self.lexer.skip_lines();
        }
        Ok(entries)
    }

    /// `body(k, carry; captured) { ... }`, where one stands.
    fn body(&mut self) -> Result<Option<(Arc<Body>, Span)>, Skip> {
        let mut ahead = self.lexer.clone();
        let (word, span) = ahead.next();
        if word != Token::Word("body") || ahead.next().0 != Token::Mark('(') {
            return Ok(None);
        }
        self.lexer = ahead;
        if self.depth == MOST_BODIES {
            return self.fail(span, format!("bodies nest deeper than {MOST_BODIES}"));
        }
        let mut header = Vec::new();
        let mut first_capture = None;
        while !self.eat(')') {
            if first_capture.is_none() && self.eat(';') {
                first_capture = Some(header.len());
            } else if !header.is_empty() {
                self.expect(',')?;
            }
            if self.lexer.peek().0 != Token::Mark(')') {
                header.push(self.label()?);
            }
        }
        self.expect('{')?;
        let before = self.found.len();
        self.depth += 1;
        let mut block = self.block();
        self.depth -= 1;
        let n_captures = first_capture.map_or(0, |first| header.len() - first);
        let parameters: Option<Vec<ValueId>> =
            header.into_iter().map(|(label, span)| self.lookup(&mut block, label, span)).collect();
        self.complete_unknown(&mut block);
        let (Some(parameters), true) = (parameters, self.found.len() == before) else { return Err(Skip) };
        let outputs = block.outputs.unwrap_or_default().into_iter().map(|(_, value)| value).collect();
        match Body::new(block.records, parameters, outputs, n_captures) {
            Ok(body) => Ok(Some((Arc::new(body), span))),
            Err(ill) => self.fail(span, ill.rule),
        }
    }

    /// `: f32[B], i64[B]`, or nothing.
    pub(super) fn types(&mut self) -> Result<Vec<(Type, Span)>, Skip> {
        let mut types = Vec::new();
        if !self.eat(':') {
            return Ok(types);
        }
        loop {
            self.lexer.skip_space();
            let start = self.lexer.at;
            if self.lexer.rest().starts_with('?') {
                let span = Span { start, end: start + 1 };
                return self.fail(
                    span,
                    "`?` is the type of a value that is ill: the graph was printed with a fault".into(),
                );
            }
            let ty = match self.last_type {
                // Neighbours often have one type; a closing bracket says that nothing belongs to it.
                Some((text, ty)) if self.lexer.rest().starts_with(text) => {
                    self.lexer.advance(text.len());
                    ty
                }
                _ => {
                    let ty = self.read(|reader| reader.ty())?;
                    let text = &self.lexer.text[start..self.lexer.at];
                    self.last_type = text.ends_with(']').then_some((text, ty));
                    ty
                }
            };
            types.push((ty, Span { start, end: self.lexer.at }));
            if !self.eat(',') {
                return Ok(types);
            }
        }
    }

    /// `[[1.0, 2.0]] : f64[1, 2]` or `@embedding : f32[5000, 64]`
    pub(super) fn constant(&mut self, block: &mut Block<'a>, place: Place) -> Result<Option<ValueId>, Skip> {
        self.lexer.skip_space();
        let start = self.lexer.at;
        let array = if self.eat('@') {
            let (label, span) = self.label()?;
            let key = match label {
                Label::Name(name) => name.into_owned(),
                Label::Temporary(number) => format!("%{number}"),
            };
            let declared = self.one_type()?;
            let Some(array) = (self.constants)(&key) else {
                return self.fail(span, format!("no array was given for the constant `{}`", clip(&key)));
            };
            let found = Type::new(array.dtype(), array.shape());
            if let Some((ty, span)) = declared.filter(|&(ty, _)| ty != found) {
                return self.fail(span, format!("the array given for `{}` is {found}, not {ty}", clip(&key)));
            }
            array
        } else {
            let literals = match read_literals(&mut self.lexer) {
                Ok(literals) => literals,
                Err((span, why)) => return self.fail(span, why),
            };
            let numbers = Span { start, end: self.lexer.at };
            let declared = self.one_type()?;
            let dtype = declared.map_or_else(|| literals.default_dtype(), |(ty, _)| ty.dtype);
            let sizes = match declared.map(|(ty, span)| (ty.shape.sizes(), span)) {
                Some((None, span)) => {
                    return self.fail(span, "the sizes of a constant must be numbers".into());
                }
                Some((sizes, _)) => sizes,
                None => None,
            };
            match literals.array(dtype, sizes) {
                Ok(array) => array,
                Err((span, why)) => return self.fail(span.unwrap_or(numbers), why),
            }
        };
        let op: Op = Constant { array: Arc::new(array) }.into();
        let node = block.records.push(op, Inputs::new(), place, block.part);
        Ok(Some(block.records.node(node).first))
    }

    pub(super) fn one_type(&mut self) -> Result<Option<(Type, Span)>, Skip> {
        let types = self.types()?;
        match types.get(1) {
            None => Ok(types.first().copied()),
            Some(&(_, span)) => self.fail(span, "a constant has one type".to_string()),
        }
    }
}
