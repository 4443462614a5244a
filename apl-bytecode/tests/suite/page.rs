//! `docs/bytecode.md` names everything that the file format has.

use apl_bytecode::Call;

const PAGE: &str = include_str!("../../../docs/bytecode.md");
const WIRE: &[&str] = &[
    include_str!("../../src/wire/code.rs"),
    include_str!("../../src/wire/tables.rs"),
    include_str!("../../src/wire/ask.rs"),
];

/// What the page says of a type: its line, and those that are indented below it.
fn entry(name: &str) -> Option<String> {
    let mut lines = PAGE
        .lines()
        .skip_while(|line| line.strip_prefix(name).is_none_or(|rest| !rest.starts_with(' ')));
    let mut text = lines.next()?.to_owned();
    for line in lines.take_while(|line| line.starts_with("    ")) {
        text.push(' ');
        text.push_str(line.trim());
    }
    Some(text)
}

/// The tables of the wire format: `record` or `choice`, the type's name, what stands between the braces.
fn tables() -> Vec<(&'static str, &'static str, &'static str)> {
    let mut found = Vec::new();
    for source in WIRE {
        for kind in ["record", "choice"] {
            for rest in source.split(&format!("\n{kind}!(")).skip(1) {
                let end = rest.find([' ', ',', '{']).unwrap();
                let body = rest.split_once('{').unwrap().1.split_once("});").unwrap().0;
                found.push((kind, &rest[..end], body));
            }
        }
    }
    found
}

#[test]
fn every_opcode_has_a_row() {
    let (_, _, body) = tables()
        .into_iter()
        .find(|(_, name, _)| *name == "Instr")
        .unwrap();
    let codes: Vec<&str> = body.split("0x").skip(1).map(|rest| &rest[..2]).collect();
    assert!(codes.len() > 35, "{codes:?}");
    for code in codes {
        let has = PAGE.lines().any(|line| {
            line.strip_prefix("| ").is_some_and(|row| {
                let first = row.split(" |").next().unwrap_or("");
                first.split(", ").any(|one| one == code)
            })
        });
        assert!(has, "opcode {code} has no row");
    }
}

#[test]
fn every_function_has_its_number_and_the_count_of_its_arguments() {
    let text = entry("Function").expect("the functions");
    let listed: Vec<&str> = text
        .trim_start_matches("Function")
        .split('|')
        .map(str::trim)
        .collect();
    // A line's end separates, too.
    let listed: Vec<String> = listed
        .iter()
        .flat_map(|one| {
            let words: Vec<&str> = one.split_whitespace().collect();
            words.chunks(2).map(|pair| pair.join(" ")).collect::<Vec<_>>()
        })
        .collect();
    let ours: Vec<String> = Call::ALL
        .iter()
        .enumerate()
        .map(|(number, call)| match call.arity() {
            1 => format!("{number} {}", call.name()),
            count => format!("{number} {}({count})", call.name()),
        })
        .collect();
    assert_eq!(listed, ours);
}

#[test]
fn every_choice_with_an_entry_has_all_of_its_numbers() {
    let mut seen = 0;
    for (kind, name, body) in tables() {
        if kind != "choice" || name == "Instr" || name == "Call" {
            continue;
        }
        let page_name = match name {
            "CredentialSource" => "Source",
            "EntityKind" => "Entity",
            other => other,
        };
        let Some(text) = entry(page_name) else { continue };
        seen += 1;
        for line in body.split("=>").collect::<Vec<_>>().split_last().unwrap().1 {
            let number = line.split([',', ' ', '\n', '}']).rfind(|word| !word.is_empty());
            let number = number.unwrap();
            let has = text.split([' ', '|', '(']).any(|word| word == number);
            assert!(has, "`{name}` has {number}, and the page has not: {text}");
        }
    }
    assert!(seen > 14, "only {seen} choices have an entry");
}

#[test]
fn every_record_with_an_entry_has_all_of_its_fields() {
    let mut seen = 0;
    for (kind, name, body) in tables() {
        if kind != "record" {
            continue;
        }
        let Some(text) = entry(name).filter(|text| text.contains(": ")) else {
            continue;
        };
        seen += 1;
        let mut at = 0;
        for field in body
            .split([',', '}', ')', ';'])
            .map(str::trim)
            .filter(|field| !field.is_empty())
        {
            let place = text[at..].find(&format!("{field}: "));
            assert!(
                place.is_some(),
                "`{name}` has `{field}` here, and the page has not: {text}"
            );
            at += place.unwrap();
        }
    }
    assert!(seen > 14, "only {seen} records have an entry");
}
