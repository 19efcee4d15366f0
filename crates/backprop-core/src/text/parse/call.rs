//! Calls: an op is built, recorded, and compared with what the text says of its results.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use super::{Block, Label, Parser, Skip};
use crate::graph::place::{Line, Place};
use crate::graph::records::{Inputs, ValueId};
use crate::text::error::{Found, nearest};
use crate::text::given::Given;
use crate::text::lex::{Span, Token, clip};
use crate::text::sugar;
use crate::types::Type;
impl<'a> Parser<'a> {
    /// What stands behind the `=`: the values of the call, `None` for those that cannot be known.
    pub(super) fn call(
        &mut self,
        block: &mut Block<'a>,
        labels: &[(Label<'a>, Span)],
        line: u32,
    ) -> Result<Vec<Option<ValueId>>, Skip> {
        self.expect('=')?;
        let (token, op_span) = self.lexer.next();
        let name: Cow<str> = match token {
            Token::Word(name) => Cow::Borrowed(name),
            Token::Quoted(name) => name,
            other => {
                return self.fail(op_span, format!("expected the name of an op, found {}", other.show()));
            }
        };
        let place = Place { line: Line::File { file: block.file, line }, module: 0 };
        if name == "constant" {
            let value = self.constant(block, place)?;
            return self.results(labels, vec![value], op_span);
        }
        let operands = self.operands(block)?;
        let entries = self.attributes()?;
        let declared = self.types()?;
        let inputs: Option<Inputs> = operands.into_iter().collect();
        let Some(inputs) = inputs else { return Err(Skip) };
        let given = Given {
            entries,
            inputs: inputs.iter().filter_map(|&input| block.records.ty(input)).collect(),
            ty: declared.first().map(|&(ty, _)| ty),
            asked: RefCell::default(),
            failed: Cell::default(),
        };
        let values = self.build(block, &name, op_span, inputs, &given, place)?;
        let values = self.results(labels, values, op_span)?;
        self.compare(block, labels, &values, &declared, op_span)?;
        Ok(values)
    }

    /// Builds the op and records its call, or that of a shorthand.
    pub(super) fn build(
        &mut self,
        block: &mut Block<'a>,
        name: &str,
        span: Span,
        inputs: Inputs,
        given: &Given,
        place: Place,
    ) -> Result<Vec<Option<ValueId>>, Skip> {
        let records = &mut block.records;
        let before = records.n_nodes();
        let made = match (self.registry.get(name), sugar::find(name)) {
            (Some(from), _) => from(given).and_then(|op| match sugar::broadcasts(&op, given) {
                true => {
                    let stretched = sugar::broadcast(op);
                    sugar::call(records, stretched, &inputs, given, (place, block.part))
                        .map(|value| vec![value])
                }
                false => {
                    let node = records.push(op, inputs, place, block.part);
                    Ok(records.node(node).outputs().collect())
                }
            }),
            (None, Some(shorthand)) => {
                sugar::call(records, shorthand, &inputs, given, (place, block.part)).map(|value| vec![value])
            }
            (None, None) => {
                let hint = self.registry.nearest(name).map(|known| format!("did you mean `{known}`?"));
                let message = format!("unknown op `{}`", clip(name));
                self.found.push(Found { span, message, details: Vec::new(), hint });
                return Err(Skip);
            }
        };
        self.unknown_attributes(name, given, made.is_ok())?;
        let values = match made {
            Ok(values) => values,
            Err(why) => {
                let at = given.failed.get().unwrap_or(span);
                return self.fail(at, format!("{name}: {why}"));
            }
        };
        // The first fault among the new nodes; what follows it depends on it.
        if let Some((_, fault)) = block.records.faults.range(before as u32..).next() {
            let details = (fault.operands.iter())
                .map(|operand| {
                    let note =
                        if operand.note.is_empty() { String::new() } else { format!("  {}", operand.note) };
                    format!("{} {}: {}{note}", operand.role, clip(&operand.name), operand.ty)
                })
                .collect();
            let hint = fault.hint.clone();
            let message = format!("{}: {}", clip(&fault.op), fault.rule);
            self.found.push(Found { span, message, details, hint });
            return Err(Skip);
        }
        Ok(values.into_iter().map(Some).collect())
    }

    /// Refuses attributes that the op did not ask for. An op that could not be built may not have
    /// asked for all of its own: then only what looks like a missing one is told, as misspelt.
    pub(super) fn unknown_attributes(&mut self, op: &str, given: &Given, is_built: bool) -> Result<(), Skip> {
        let before = self.found.len();
        let asked = given.asked.borrow();
        for entry in given.entries.iter().filter(|entry| !asked.iter().any(|&name| name == entry.name)) {
            let missing =
                asked.iter().copied().filter(|name| given.entries.iter().all(|own| own.name != *name));
            let hint = match nearest(&entry.name, missing) {
                Some(known) => format!("did you mean `{known}`?"),
                None if !is_built => continue,
                None if asked.is_empty() => format!("{op} has no attributes"),
                None => format!("{op} has {}", asked.join(", ")),
            };
            let message = format!("{op} has no attribute `{}`", clip(&entry.name));
            self.found.push(Found { span: entry.name_span, message, details: Vec::new(), hint: Some(hint) });
        }
        if self.found.len() > before { Err(Skip) } else { Ok(()) }
    }

    /// Refuses a wrong number of names before `=`.
    pub(super) fn results(
        &mut self,
        labels: &[(Label<'a>, Span)],
        values: Vec<Option<ValueId>>,
        op_span: Span,
    ) -> Result<Vec<Option<ValueId>>, Skip> {
        if values.len() == labels.len() {
            return Ok(values);
        }
        let (n, given) = (values.len(), labels.len());
        self.fail(op_span, format!("the op has {n} results, but {given} names stand before `=`"))
    }

    /// Compares the types that are written with those that the type rules give.
    pub(super) fn compare(
        &mut self,
        block: &Block<'a>,
        labels: &[(Label<'a>, Span)],
        values: &[Option<ValueId>],
        declared: &[(Type, Span)],
        op_span: Span,
    ) -> Result<(), Skip> {
        if !declared.is_empty() && declared.len() != values.len() {
            let (n, given) = (values.len(), declared.len());
            return self.fail(op_span, format!("the op has {n} results, but {given} types are written"));
        }
        let records = &block.records;
        for (((label, _), value), &(ty, span)) in labels.iter().zip(values).zip(declared) {
            let found = value.and_then(|value| records.ty(value));
            if let Some(found) =
                found.filter(|&found| found != ty && records.assumed_type(found) != records.assumed_type(ty))
            {
                let message = format!("{} is {found}, not {ty}", label.show());
                return self.fail(span, message);
            }
        }
        Ok(())
    }
}
