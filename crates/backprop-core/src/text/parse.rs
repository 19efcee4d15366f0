//! Text as records: a parser that reads line by line and reports everything that is wrong.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::error::{Found, ParseError, nearest, place_all};
use super::given::{Entry, Given};
use super::lex::{Lexer, Span, Token, clip};
use super::literal::read_literals;
use super::registry::Registry;
use super::{Document, sugar};
use crate::array::Array;
use crate::graph::place::{Line, Place};
use crate::graph::records::{Inputs, Part, Records, ValueId};
use crate::ops::{Constant, Op};
use crate::types::{Reader, Type, Wrong};

/// The graph written as `text`.
///
/// `file` names the text in errors and in the places of its nodes; nothing is read from it.
/// `constants` gives the arrays of constants that the text names (`constant @embedding`).
///
/// # Errors
/// Everything that is wrong, each with its line and column.
pub fn parse(
    text: &str,
    file: &str,
    constants: &dyn Fn(&str) -> Option<Array>,
    registry: &Registry,
) -> Result<Document, ParseError> {
    let mut parser =
        Parser { lexer: Lexer::new(text), file, constants, registry, found: Vec::new(), misspelt: 0 };
    let document = parser.document();
    if parser.found.is_empty() {
        return Ok(document);
    }
    let gave_up = parser.gave_up();
    parser.found.truncate(ParseError::MOST);
    Err(ParseError { errors: place_all(text, file, parser.found), gave_up })
}

/// How many unknown names get a suggestion: each is compared with every known name.
const MOST_SUGGESTIONS: usize = 20;

/// What stands for a value in the text: its name, or its number.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Label<'a> {
    Name(Cow<'a, str>),
    Temporary(u64),
}

impl Label<'_> {
    fn show(&self) -> String {
        match self {
            Label::Name(name) => format!("`{}`", clip(name)),
            Label::Temporary(number) => format!("`%{number}`"),
        }
    }
}

/// What has been read of one block.
struct Block<'a> {
    records: Records,
    file: u32,
    part: Part,
    /// The values by label, with the line that defines each; no value where that line is wrong.
    values: HashMap<Label<'a>, (Option<ValueId>, u32)>,
    outputs: Option<Vec<(String, ValueId)>>,
    /// Labels that were not known where they were used: the error to complete, and the label.
    unknown: Vec<(usize, Label<'a>)>,
}

/// The statement was given up; its error has been noted.
struct Skip;

struct Parser<'a> {
    lexer: Lexer<'a>,
    file: &'a str,
    constants: &'a dyn Fn(&str) -> Option<Array>,
    registry: &'a Registry,
    found: Vec<Found>,
    misspelt: usize,
}

impl<'a> Parser<'a> {
    fn document(&mut self) -> Document {
        self.lexer.skip_lines();
        let (token, span) = self.lexer.next();
        if token != Token::Word("graph") {
            self.error(span, format!("expected `graph {{`, found {}", token.show()));
            return Document { records: Records::default(), outputs: Vec::new() };
        }
        let Ok(()) = self.expect('{') else {
            return Document { records: Records::default(), outputs: Vec::new() };
        };
        let block = self.block();
        self.lexer.skip_lines();
        let (token, span) = self.lexer.next();
        if token != Token::End && !self.gave_up() {
            self.error(span, format!("expected the end of the text after `}}`, found {}", token.show()));
        }
        Document { records: block.records, outputs: block.outputs.unwrap_or_default() }
    }

    /// Statements up to the closing brace.
    fn block(&mut self) -> Block<'a> {
        let mut records = Records::default();
        let file = records.add_file(self.file);
        let mut block = Block {
            records,
            file,
            part: Part::Forward,
            values: HashMap::new(),
            outputs: None,
            unknown: Vec::new(),
        };
        loop {
            self.lexer.skip_lines();
            let start = self.lexer.at;
            let (token, span) = self.lexer.peek();
            match token {
                Token::Mark('}') => {
                    self.lexer.next();
                    break;
                }
                Token::End => {
                    self.error(span, "expected `}`, found the end of the text".to_string());
                    break;
                }
                _ if self.gave_up() => {
                    self.lexer.at = self.lexer.text.len();
                    break;
                }
                _ => {
                    let read = self.statement(&mut block).and_then(|()| self.end_of_line());
                    if read.is_err() {
                        self.recover(start);
                    }
                }
            }
        }
        self.complete_unknown(&mut block);
        block
    }

    /// Moves on to the next line after the statement that began at `start`.
    fn recover(&mut self, start: usize) {
        // The end of the line at which every brace of the statement is closed. A statement is short;
        // where none is found nearby, the next line begins a new one.
        const NEARBY: usize = 1 << 12;
        let mut ahead = Lexer { at: start, ..self.lexer.clone() };
        let mut depth = 0i32;
        while ahead.at < self.lexer.at.saturating_add(NEARBY) {
            match ahead.next() {
                (Token::Mark('{'), _) => depth += 1,
                (Token::Mark('}'), span) if depth == 0 && span.start >= self.lexer.at => {
                    return self.go_to(span.start);
                }
                (Token::Mark('}'), _) => depth -= 1,
                (Token::Newline, span) if depth <= 0 && span.start >= self.lexer.at => {
                    return self.go_to(span.start);
                }
                (Token::End, _) => break,
                _ => {}
            }
        }
        self.lexer.at += super::lex::line_length(self.lexer.rest());
    }

    fn go_to(&mut self, at: usize) {
        let passed = &self.lexer.text[self.lexer.at..at];
        self.lexer.line += passed.bytes().filter(|&byte| byte == b'\n').count() as u32;
        self.lexer.at = at;
    }

    fn statement(&mut self, block: &mut Block<'a>) -> Result<(), Skip> {
        let (token, span) = self.lexer.peek();
        if block.outputs.is_some() {
            return self.fail(span, format!("expected `}}` after `return`, found {}", token.show()));
        }
        let Token::Word(word) = token else { return self.node(block) };
        match word {
            "assume" => self.assume(block),
            "return" => self.outputs(block),
            "forward" | "gradient" | "no_grad" => {
                self.lexer.next();
                self.expect(':')?;
                block.part = match word {
                    "forward" => Part::Forward,
                    "gradient" => Part::Gradient,
                    _ => Part::NoGrad,
                };
                Ok(())
            }
            _ => self.node(block),
        }
    }

    /// `assume B == 2*T`
    fn assume(&mut self, block: &mut Block<'a>) -> Result<(), Skip> {
        self.lexer.next();
        let (token, span) = self.lexer.next();
        let name = match token {
            Token::Word(name) if is_dim_name(name) => name,
            other => {
                return self.fail(span, format!("expected the name of a dimension, found {}", other.show()));
            }
        };
        let (token, span) = self.lexer.next();
        if token != Token::Equals {
            return self.fail(span, format!("expected `==`, found {}", token.show()));
        }
        let dim = self.read(|reader| reader.dim())?;
        if dim.names().iter().any(|own| own == name) {
            return self.fail(span, format!("`{name}` is assumed to be something of itself: {dim}"));
        }
        block.records.assume(name, dim);
        Ok(())
    }

    /// `return loss, dw: %12`
    fn outputs(&mut self, block: &mut Block<'a>) -> Result<(), Skip> {
        self.lexer.next();
        let mut outputs = Vec::new();
        // From here on the block has its return, whatever is wrong with it.
        block.outputs = Some(Vec::new());
        while !matches!(self.lexer.peek().0, Token::Newline | Token::End | Token::Mark('}')) {
            if !outputs.is_empty() {
                self.expect(',')?;
            }
            let (first, first_span) = self.label()?;
            let (name, label, span) = match (self.lexer.peek().0, &first) {
                (Token::Mark(':'), Label::Name(name)) => {
                    self.lexer.next();
                    let (label, span) = self.label()?;
                    (Some(name.to_string()), label, span)
                }
                _ => (None, first, first_span),
            };
            let value = self.lookup(block, label, span);
            outputs.push(value.map(|value| (name.unwrap_or_else(|| block.records.label(value)), value)));
        }
        block.outputs = Some(outputs.into_iter().flatten().collect());
        Ok(())
    }

    /// `v, i = max_with_index(y) {axis: 1} : f32[B], i64[B]`
    fn node(&mut self, block: &mut Block<'a>) -> Result<(), Skip> {
        let line = self.lexer.line;
        let mut labels = vec![self.label()?];
        while self.eat(',') {
            labels.push(self.label()?);
        }
        let before_op = self.found.len();
        let values = self.call(block, &labels, line);
        // Where no error was added, an operand is wrong, which has been said already.
        let given_up = values.is_err() && self.found.len() > before_op;
        let values = values.unwrap_or_else(|Skip| vec![None; labels.len()]);
        for ((label, span), value) in labels.into_iter().zip(values) {
            if let Some((_, line)) = block.values.get(&label) {
                let why = format!("{} is defined already, on line {line}", label.show());
                self.error(span, why);
                continue;
            }
            if let (Label::Name(name), Some(value)) = (&label, value)
                && let Err(why) = block.records.set_name(value, name)
            {
                self.error(span, why);
            }
            block.values.insert(label, (value, line));
        }
        if given_up { Err(Skip) } else { Ok(()) }
    }

    /// What stands behind the `=`: the values of the call, `None` for those that cannot be known.
    fn call(
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
    fn build(
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
    fn unknown_attributes(&mut self, op: &str, given: &Given, is_built: bool) -> Result<(), Skip> {
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
    fn results(
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
    fn compare(
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

    /// `(x, %2)`, or nothing. `None` for an operand that is not known.
    fn operands(&mut self, block: &mut Block<'a>) -> Result<Vec<Option<ValueId>>, Skip> {
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
    fn attributes(&mut self) -> Result<Vec<Entry<'a>>, Skip> {
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
            let (value, span) = self.lexer.until(b",}");
            if value.is_empty() {
                return self.fail(span, format!("expected the value of `{}`", clip(&name)));
            }
            if !seen.insert(name.clone()) {
                return self.fail(name_span, format!("attribute `{}` is given twice", clip(&name)));
            }
            entries.push(Entry { name, name_span, value, span });
            self.lexer.skip_lines();
        }
        Ok(entries)
    }

    /// `: f32[B], i64[B]`, or nothing.
    fn types(&mut self) -> Result<Vec<(Type, Span)>, Skip> {
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
            let ty = self.read(|reader| reader.ty())?;
            types.push((ty, Span { start, end: self.lexer.at }));
            if !self.eat(',') {
                return Ok(types);
            }
        }
    }

    /// `[[1.0, 2.0]] : f64[1, 2]` or `@embedding : f32[5000, 64]`
    fn constant(&mut self, block: &mut Block<'a>, place: Place) -> Result<Option<ValueId>, Skip> {
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

    fn one_type(&mut self) -> Result<Option<(Type, Span)>, Skip> {
        let types = self.types()?;
        match types.get(1) {
            None => Ok(types.first().copied()),
            Some(&(_, span)) => self.fail(span, "a constant has one type".to_string()),
        }
    }

    /// A value that a statement reads; `None` when it is not known or is wrong itself.
    fn lookup(&mut self, block: &mut Block<'a>, label: Label<'a>, span: Span) -> Option<ValueId> {
        if let Some(&(value, _)) = block.values.get(&label) {
            return value;
        }
        block.unknown.push((self.found.len(), label.clone()));
        self.error(span, format!("unknown value {}", label.show()));
        None
    }

    /// Says of unknown values what was probably meant, now that all names are known.
    fn complete_unknown(&mut self, block: &mut Block<'a>) {
        for (error, label) in std::mem::take(&mut block.unknown) {
            if let Some((_, line)) = block.values.get(&label) {
                self.found[error].hint = Some(format!(
                    "it is defined below, on line {line}; a value is defined before it is used"
                ));
                continue;
            }
            self.misspelt += 1;
            let Label::Name(name) = &label else { continue };
            if self.misspelt <= MOST_SUGGESTIONS {
                // In a fixed order, so that of equally near names always the same is named.
                let mut known: Vec<&str> = (block.values.keys())
                    .filter_map(|label| if let Label::Name(name) = label { Some(&**name) } else { None })
                    .collect();
                known.sort_unstable();
                self.found[error].hint = nearest(name, known).map(|known| format!("did you mean `{known}`?"));
            }
        }
    }

    fn label(&mut self) -> Result<(Label<'a>, Span), Skip> {
        let (token, span) = self.lexer.peek();
        let label = match token {
            Token::Word(name) if super::KEYWORDS.contains(&name) => {
                return self
                    .fail(span, format!("`{name}` is a keyword; a value of that name stands in quotes"));
            }
            Token::Word(name) if super::is_bare(name) => Label::Name(Cow::Borrowed(name)),
            Token::Quoted(name) => Label::Name(name),
            Token::Temporary(number) => Label::Temporary(number),
            Token::Word(number) => {
                return self.fail(
                    span,
                    format!(
                        "expected a value, found the number `{}`: name it with `constant` or `full`",
                        clip(number)
                    ),
                );
            }
            other => return self.fail(span, format!("expected a value, found {}", other.show())),
        };
        self.lexer.next();
        Ok((label, span))
    }

    /// Reads a type or a dimension from the rest of the line.
    fn read<T>(&mut self, read: impl FnOnce(&mut Reader) -> Result<T, Wrong>) -> Result<T, Skip> {
        self.lexer.skip_space();
        let rest = self.lexer.rest();
        let line = &rest[..super::lex::line_length(rest)];
        let mut reader = Reader::new(line.split('#').next().unwrap_or(line));
        match read(&mut reader) {
            Ok(value) => {
                self.lexer.advance(reader.position());
                Ok(value)
            }
            Err(Wrong { at, why }) => {
                let start = self.lexer.at + at;
                let length = self.lexer.text[start..].chars().next().map_or(0, char::len_utf8);
                self.fail(Span { start, end: start + length }, why)
            }
        }
    }

    fn expect(&mut self, mark: char) -> Result<(), Skip> {
        let (token, span) = self.lexer.peek();
        if token == Token::Mark(mark) {
            self.lexer.next();
            return Ok(());
        }
        self.fail(span, format!("expected `{mark}`, found {}", token.show()))
    }

    fn eat(&mut self, mark: char) -> bool {
        let is_next = self.lexer.peek().0 == Token::Mark(mark);
        if is_next {
            self.lexer.next();
        }
        is_next
    }

    fn end_of_line(&mut self) -> Result<(), Skip> {
        match self.lexer.peek() {
            (Token::Newline | Token::End | Token::Mark('}'), _) => Ok(()),
            (token, span) => self.fail(span, format!("expected the end of the line, found {}", token.show())),
        }
    }

    fn error(&mut self, span: Span, message: String) {
        self.found.push(Found { span, message, details: Vec::new(), hint: None });
    }

    fn fail<T>(&mut self, span: Span, message: String) -> Result<T, Skip> {
        self.error(span, message);
        Err(Skip)
    }

    fn gave_up(&self) -> bool {
        self.found.len() >= ParseError::MOST
    }
}

/// Whether `name` can name a dimension: a letter or `_`, then letters, digits and `_`.
pub(crate) fn is_dim_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
