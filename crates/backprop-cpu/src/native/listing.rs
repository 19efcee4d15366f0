//! Machine code as text, for people.

use std::fmt::Write;

use iced_x86::{Decoder, DecoderOptions, FastFormatter};

/// Instructions in a line each: where it starts, in bytes from the first one, then in the syntax of Intel. Jumps and
/// constants behind the code are named by where they lie.
pub fn listing(code: &[u8], indent: &str) -> String {
    let mut formatter = FastFormatter::new();
    formatter.options_mut().set_space_after_operand_separator(true);
    let mut text = String::new();
    for instruction in &mut Decoder::new(64, code, DecoderOptions::NONE) {
        write!(text, "{indent}{:04x}  ", instruction.ip()).expect("a string takes all");
        formatter.format(&instruction, &mut text);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_place_operation_and_operands() {
        // mov eax, 12345; ret
        assert_eq!(listing(&[0xb8, 0x39, 0x30, 0, 0, 0xc3], "  "), "  0000  mov eax, 3039h\n  0005  ret\n");
        assert_eq!(listing(&[], "  "), "");
    }
}
