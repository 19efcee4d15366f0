//! Text as records: a parser that reads line by line and reports everything that is wrong.

mod call;
mod parts;
mod statement;
mod words;

use std::borrow::Cow;
use std::collections::HashMap;

use super::Document;
use super::error::{Found, ParseError, nearest, place_all};
use super::lex::{Lexer, Span, Token, clip, line_length};
use super::registry::Registry;
use crate::array::Array;
use crate::graph::records::{Part, Records, ValueId};
use crate::types::Type;

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
    let mut parser = Parser {
        lexer: Lexer::new(text),
        file,
        constants,
        registry,
        found: Vec::new(),
        misspelt: 0,
        depth: 0,
        last_type: None,
    };
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
    /// How many bodies are open.
    depth: usize,
    /// The type that was read last, with its text.
    last_type: Option<(&'a str, Type)>,
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
        self.lexer.at += line_length(self.lexer.rest());
    }

    fn go_to(&mut self, at: usize) {
        let passed = &self.lexer.text[self.lexer.at..at];
        self.lexer.line += passed.bytes().filter(|&byte| byte == b'\n').count() as u32;
        self.lexer.at = at;
    }

    /// A value that a statement reads; `None` when it is not known or is wrong itself.
    pub(super) fn lookup(&mut self, block: &mut Block<'a>, label: Label<'a>, span: Span) -> Option<ValueId> {
        if let Some(&(value, _)) = block.values.get(&label) {
            return value;
        }
        block.unknown.push((self.found.len(), label.clone()));
        self.error(span, format!("unknown value {}", label.show()));
        None
    }

    /// Says of unknown values what was probably meant, now that all names are known.
    pub(super) fn complete_unknown(&mut self, block: &mut Block<'a>) {
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

    fn gave_up(&self) -> bool {
        self.found.len() >= ParseError::MOST
    }
}

/// Whether `name` can name a dimension: a letter or `_`, then letters, digits and `_`.
pub(crate) fn is_dim_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
