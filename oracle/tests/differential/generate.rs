//! Policies, documents and facts out of a seed.

use std::fmt;

use serde_json::{Map, Value, json};

/// One case.
#[derive(Debug)]
pub(crate) struct Case {
    /// Of the call: `args` and `pre_invocation`; else of the answer.
    pub pre: bool,
    /// Fields and their pipelines.
    pub fields: Vec<(String, String)>,
    /// Steps, as YAML values.
    pub steps: Vec<Value>,
    /// The document of the phase.
    pub document: Value,
    /// Facts by their names.
    pub facts: Map<String, Value>,
}

impl Case {
    /// The section, as both engines read it.
    pub(crate) fn section(&self) -> Value {
        let (fields, phase) = if self.pre {
            ("args", "pre_invocation")
        } else {
            ("result", "post_invocation")
        };
        let map: Map<String, Value> = self.fields.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        let mut section = json!({ "authorization": { phase: self.steps } });
        if !map.is_empty() {
            section[fields] = map.into();
        }
        section
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "policy   {}", self.section())?;
        writeln!(f, "document {}", self.document)?;
        write!(f, "facts    {}", json!(self.facts))
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

const FLAGS: [&str; 5] = ["role.hr", "role.eng", "perm.pay", "authenticated", "team.x"];
const VALUES: [&str; 5] = [
    "subject.id",
    "delegation.depth",
    "claim.level",
    "claim.score",
    "session.id",
];
const SETS: [&str; 3] = ["subject.roles", "subject.teams", "claim.tags"];
const FIELDS: [&str; 8] = ["n", "s", "t", "l", "o.k", "o.n", "z", "items.id"];
const TEXTS: [&str; 6] = ["a", "bob", "x-1", "7", "", "ADMIN"];

pub(crate) fn case(seed: u64) -> Case {
    let mut random = Random(seed);
    let pre = !random.one_in(3);
    let mut steps = Vec::new();
    for _ in 0..=random.below(4) {
        steps.push(step(&mut random, pre));
    }
    let mut fields: Vec<(String, String)> = Vec::new();
    for _ in 0..random.below(3) {
        let name = random.pick(&FIELDS).to_owned();
        if !fields.iter().any(|(known, _)| *known == name) {
            fields.push((name, pipeline(&mut random, pre)));
        }
    }
    // Both engines run fields in order of their names when YAML gives no other.
    fields.sort();
    Case {
        pre,
        fields,
        steps,
        document: document(&mut random),
        facts: facts(&mut random),
    }
}

fn facts(random: &mut Random) -> Map<String, Value> {
    let mut facts = Map::new();
    for flag in FLAGS {
        match random.below(4) {
            0 | 1 => facts.insert(flag.to_owned(), json!(true)),
            2 => facts.insert(flag.to_owned(), json!(false)),
            _ => None,
        };
    }
    for name in VALUES {
        let value = match random.below(6) {
            0 => continue,
            1 | 2 => json!(random.below(6) as i64 - 1),
            3 => json!(random.below(9) as f64 / 2.0),
            _ => json!(random.pick(&TEXTS)),
        };
        facts.insert(name.to_owned(), value);
    }
    for name in SETS {
        if !random.one_in(4) {
            let members: Vec<&str> = (0..random.below(3)).map(|_| random.pick(&TEXTS)).collect();
            facts.insert(name.to_owned(), json!(members));
        }
    }
    facts
}

fn scalar(random: &mut Random) -> Value {
    match random.below(8) {
        0 => json!(true),
        1..=3 => json!(random.below(12) as i64 - 2),
        4 => json!(random.below(9) as f64 / 2.0),
        5 => json!("carol@corp.example"),
        _ => json!(random.pick(&TEXTS)),
    }
}

fn document(random: &mut Random) -> Value {
    let mut document = Map::new();
    for name in ["n", "s", "t"] {
        if !random.one_in(5) {
            document.insert(name.to_owned(), scalar(random));
        }
    }
    if !random.one_in(3) {
        let members: Vec<&str> = (0..random.below(4)).map(|_| random.pick(&TEXTS)).collect();
        document.insert("l".to_owned(), json!(members));
    }
    if !random.one_in(3) {
        document.insert(
            "o".to_owned(),
            json!({ "k": scalar(random), "n": scalar(random) }),
        );
    }
    if !random.one_in(3) {
        let items: Vec<Value> = (0..random.below(3))
            .map(|_| json!({ "id": scalar(random), "v": 1 }))
            .collect();
        document.insert("items".to_owned(), json!(items));
    }
    if random.one_in(6) {
        document.insert("z".to_owned(), Value::Null);
    }
    Value::Object(document)
}

fn attribute(random: &mut Random, pre: bool) -> String {
    match random.below(4) {
        0 => random.pick(&VALUES).to_owned(),
        1 => random.pick(&FLAGS).to_owned(),
        _ => {
            let field = random.pick(&["n", "s", "t", "o.k", "o.n", "z", "l", "o"]);
            format!("{}.{field}", if pre { "args" } else { "result" })
        }
    }
}

fn set(random: &mut Random, pre: bool) -> String {
    if random.one_in(3) {
        format!("{}.l", if pre { "args" } else { "result" })
    } else {
        random.pick(&SETS).to_owned()
    }
}

fn literal(random: &mut Random) -> String {
    match random.below(5) {
        0 | 1 => format!("{}", random.below(8) as i64 - 1),
        2 => format!("{}.5", random.below(4)),
        3 => random.pick(&["true", "false"]).to_owned(),
        _ => format!("'{}'", random.pick(&TEXTS)),
    }
}

fn test(random: &mut Random, pre: bool) -> String {
    match random.below(9) {
        0..=2 => random.pick(&FLAGS).to_owned(),
        3 => format!("exists({})", attribute(random, pre)),
        4 => format!("{} contains '{}'", set(random, pre), random.pick(&TEXTS)),
        5 => format!("{} in {}", attribute(random, pre), set(random, pre)),
        6 => format!("{} not in {}", attribute(random, pre), set(random, pre)),
        _ => {
            let op = random.pick(&["==", "!=", "<", "<=", ">", ">="]);
            format!("{} {op} {}", attribute(random, pre), literal(random))
        }
    }
}

fn predicate(random: &mut Random, pre: bool, depth: usize) -> String {
    if depth == 0 || random.one_in(2) {
        return test(random, pre);
    }
    match random.below(4) {
        0 => format!("!({})", predicate(random, pre, depth - 1)),
        1 => format!("({})", predicate(random, pre, depth - 1)),
        which => {
            let (a, b) = (
                predicate(random, pre, depth - 1),
                predicate(random, pre, depth - 1),
            );
            format!("{a} {} {b}", if which == 2 { "&" } else { "|" })
        }
    }
}

fn deny(random: &mut Random) -> String {
    random
        .pick(&["deny", "deny", "deny('no')", "deny('no', 'policy.no')"])
        .to_owned()
}

fn step(random: &mut Random, pre: bool) -> Value {
    match random.below(9) {
        0..=2 => json!(format!("require({})", require(random))),
        3 | 4 => json!(format!("{}: {}", predicate(random, pre, 3), deny(random))),
        5 => json!(format!(
            "taint({}, {})",
            random.pick(&["secret", "pii"]),
            random.pick(&["session", "message"])
        )),
        6 => json!({ "when": predicate(random, pre, 2), "do": ["taint(secret, session)"] }),
        7 => {
            json!({ "when": predicate(random, pre, 2), "do": [format!("taint({})", random.pick(&["a", "b"])), deny(random)] })
        }
        _ => json!({ "when": predicate(random, pre, 2), "do": [deny(random)] }),
    }
}

fn require(random: &mut Random) -> String {
    let (a, b) = (random.pick(&FLAGS), random.pick(&FLAGS));
    match random.below(4) {
        0 => format!("{a}, {b}"),
        1 | 2 => format!("{a} | {b}"),
        _ => a.to_owned(),
    }
}

fn pipeline(random: &mut Random, pre: bool) -> String {
    let mut stages = Vec::new();
    for _ in 0..=random.below(3) {
        stages.push(match random.below(14) {
            0 => "str".to_owned(),
            1 => "int".to_owned(),
            2 => "bool".to_owned(),
            3 => "float".to_owned(),
            4 => format!("{}..{}", random.below(3), 3 + random.below(8)),
            5 => format!("len({}..{})", random.below(2), 2 + random.below(5)),
            6 => "enum(a, bob, x-1)".to_owned(),
            7 => "regex(\"^[a-z]+$\")".to_owned(),
            8 => format!("mask({})", random.below(4)),
            9 => "redact".to_owned(),
            10 => format!("redact({})", predicate(random, pre, 1)),
            11 => "omit".to_owned(),
            12 => "hash".to_owned(),
            _ => "taint(seen, session)".to_owned(),
        });
    }
    stages.join(" | ")
}
