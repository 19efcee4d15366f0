//! The known word that was probably meant.

/// `; did you mean NAME?`, or the known words where none is near.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(word, &known) {
        Some(name) => format!("; did you mean `{name}`?"),
        None if known.is_empty() => String::new(),
        None if known.len() <= MOST_LISTED => format!("; known: {}", known.join(", ")),
        None => format!("; known: {}, ... ({} in all)", known[..MOST_LISTED].join(", "), known.len()),
    }
}

/// More names than this are no help.
const MOST_LISTED: usize = 24;

/// The known word with the fewest edits, if a third of the letters or less must change.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).max(1);
    known
        .iter()
        .map(|&name| (strsim::osa_distance(&word.to_lowercase(), &name.to_lowercase()), name))
        .filter(|&(distance, name)| distance <= allowed && distance < name.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        let known = ["adam", "adamw", "sgd"];
        let check = |word: &str, expect: Option<&str>| assert_eq!(nearest(word, &known), expect, "{word}");
        check("adma", Some("adam"));
        check("AdamW", Some("adamw"));
        check("sdg", Some("sgd"));
        check("lbfgs", None);
        check("", None);
    }

    #[test]
    fn where_none_is_near_all_are_named() {
        assert_eq!(suggest("lbfgs", ["adam", "sgd"]), "; known: adam, sgd");
        assert_eq!(suggest("x", []), "");
    }
}
