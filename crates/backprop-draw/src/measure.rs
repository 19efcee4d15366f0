//! How wide a text is, without a font at hand.
//!
//! The widths are those of DejaVu Sans, the widest of the faces that `FONT` may resolve to (San Francisco, Segoe UI, Roboto, Arial and
//! Liberation Sans set the same text narrower), so a box measured here holds its text everywhere.

/// The faces asked for, in this order.
pub(crate) const FONT: &str = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif";

/// How heavy the letters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

/// The width of `text` in pixels, set in `size` pixels.
pub(crate) fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let units: u32 = text.chars().map(|c| advance(c, weight)).sum();
    f64::from(units) * size / 1000.0
}

/// `text` where it is no wider than `limit`, else as much of it as fits before an ellipsis.
pub(crate) fn shorten(text: &str, size: f64, weight: Weight, limit: f64) -> String {
    // A line break inside one line of a label would be drawn as a blank.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if width(&text, size, weight) <= limit {
        return text;
    }
    let mut room = limit - width("…", size, weight);
    let mut out = String::new();
    for c in text.chars() {
        room -= f64::from(advance(c, weight)) * size / 1000.0;
        if room < 0.0 {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// Thousandths of the font size that one character takes. ASCII is exact; beyond it, the widest of the letters in common use of each block.
fn advance(c: char, weight: Weight) -> u32 {
    let (regular, bold) = match c {
        ' '..='~' => {
            let index = c as usize - ' ' as usize;
            (u32::from(REGULAR[index]), u32::from(BOLD[index]))
        }
        '\u{300}'..='\u{36f}' => (0, 0),         // combining marks
        '\u{80}'..='\u{2ff}' => (850, 1000),     // accented Latin
        '\u{370}'..='\u{52f}' => (935, 1100),    // Greek, Cyrillic
        '\u{1d00}'..='\u{1dbf}' => (700, 760),   // raised letters: the T of a transpose
        '\u{2070}'..='\u{209f}' => (640, 670),   // raised and lowered digits
        '\u{2000}'..='\u{22ff}' => (1000, 1050), // punctuation, arrows, operators
        '\u{1f000}'.. => (1400, 1400),           // emoji
        _ => (1150, 1150),                       // full-width scripts and the rest
    };
    match weight {
        Weight::Regular => regular,
        Weight::Bold => bold,
    }
}

/// Space to tilde, in thousandths of the font size: the font's own table (`hmtx`).
#[rustfmt::skip]
const REGULAR: [u16; 95] = [
    318, 401, 460, 838, 637, 951, 780, 275, 391, 391, 500, 838, 318, 361, 318, 337, 637, 637, 637,
    637, 637, 637, 637, 637, 637, 637, 337, 337, 838, 838, 838, 531, 1000, 685, 687, 699, 771, 632,
    576, 775, 752, 295, 295, 656, 558, 863, 749, 788, 604, 788, 695, 635, 611, 732, 685, 989, 686,
    611, 686, 391, 337, 391, 838, 500, 500, 613, 635, 550, 635, 616, 353, 635, 634, 278, 278, 580,
    278, 975, 634, 612, 635, 635, 412, 521, 393, 634, 592, 818, 592, 592, 525, 637, 337, 637, 838,
];

#[rustfmt::skip]
const BOLD: [u16; 95] = [
    349, 457, 521, 838, 696, 1002, 873, 307, 458, 458, 523, 838, 380, 416, 380, 366, 696, 696, 696,
    696, 696, 696, 696, 696, 696, 696, 400, 400, 838, 838, 838, 581, 1000, 774, 763, 734, 831, 684,
    684, 821, 837, 373, 373, 775, 638, 996, 837, 851, 733, 851, 771, 721, 683, 813, 774, 1104, 771,
    725, 726, 458, 366, 458, 838, 500, 500, 675, 716, 593, 716, 679, 436, 716, 712, 343, 343, 666,
    343, 1042, 712, 688, 716, 716, 494, 596, 479, 712, 652, 924, 646, 652, 583, 712, 366, 712, 838,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_adds_up_the_letters() {
        let check =
            |text: &str, weight, expect: f64| assert!((width(text, 1000.0, weight) - expect).abs() < 1e-9);
        check("", Weight::Regular, 0.0);
        check("il", Weight::Regular, 556.0);
        check("W~", Weight::Bold, 1942.0);
    }

    #[test]
    fn long_text_is_shortened_to_the_limit() {
        let check = |text: &str, limit: f64, expect: &str| {
            let short = shorten(text, 10.0, Weight::Regular, limit);
            assert_eq!(short, expect);
            assert!(width(&short, 10.0, Weight::Regular) <= limit.max(10.0));
        };
        check("matmul", 100.0, "matmul");
        check("a\nb", 100.0, "a b");
        check("mmmmmmmmmm", 40.0, "mmm…");
        check("mmmm", 1.0, "…");
    }
}
