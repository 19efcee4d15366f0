//! Lines: nodes, assumptions, sections, outputs.

use super::{Block, Label, Parser, Skip, is_dim_name};
use crate::graph::records::Part;
use crate::text::lex::Token;

/// How many assumptions a block may make: every type rule after them looks at each.
const MOST_ASSUMPTIONS: usize = 256;
impl<'a> Parser<'a> {
    pub(super) fn statement(&mut self, block: &mut Block<'a>) -> Result<(), Skip> {
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
    pub(super) fn assume(&mut self, block: &mut Block<'a>) -> Result<(), Skip> {
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
        if block.records.assumptions.len() >= MOST_ASSUMPTIONS {
            return self.fail(span, format!("at most {MOST_ASSUMPTIONS} assumptions are possible"));
        }
        block.records.assume(name, dim);
        Ok(())
    }

    /// `return loss, dw: %12`
    pub(super) fn outputs(&mut self, block: &mut Block<'a>) -> Result<(), Skip> {
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
    pub(super) fn node(&mut self, block: &mut Block<'a>) -> Result<(), Skip> {
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
}
