//! Text that goes into a file: escaped, and numbers without needless digits.

/// `text` as XML character data or a double-quoted attribute; characters that XML 1.0 forbids become U+FFFD.
pub(crate) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' | '\r' => out.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

/// A coordinate, to a tenth of a pixel.
pub(crate) fn coordinate(value: f64) -> String {
    let tenths = (value * 10.0).round();
    if tenths % 10.0 == 0.0 { format!("{}", (tenths / 10.0) as i64) } else { format!("{:.1}", tenths / 10.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_is_escaped() {
        let check = |text: &str, expect: &str| assert_eq!(xml(text), expect);
        check("a<b> & \"c\" 'd'", "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
        check("\u{0}\u{1b}[31mred", "\u{fffd}\u{fffd}[31mred");
        check("∂L/∂w", "∂L/∂w");
    }

    #[test]
    fn coordinates_are_short() {
        let check = |value: f64, expect: &str| assert_eq!(coordinate(value), expect);
        check(3.0, "3");
        check(5.1234, "5.1");
        check(-0.01, "0");
        check(-2.96, "-3");
    }
}
