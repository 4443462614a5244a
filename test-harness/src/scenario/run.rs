//! Plays a scenario over a running stack and reports each step.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use companion_protocol::AuditRecord;
use serde_json::{Value, json};

use super::expectations::{Observed, bearer_claims, disagreements};
use super::{Carry, Desk, Event, Expect, Scenario, Scene, Step, click};
use crate::backend::Role;
use crate::backend::record::Request;
use crate::mcp::{McpClient, Reply};
use crate::patience::PATIENCE;
use crate::stack::{Companion, Tokens};

/// How a scenario went.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its name.
    pub name: &'static str,
    /// Its steps.
    pub steps: Vec<StepReport>,
}

/// How a step went.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// Its number, from 1.
    pub number: usize,
    /// What happened before it and what it shows.
    pub title: String,
    /// The call in one line.
    pub call: String,
    /// What was expected, in one line.
    pub expected: String,
    /// What came back, in one line.
    pub came_back: String,
    /// Each disagreement; none if all agrees.
    pub disagreements: Vec<String>,
}

impl Report {
    /// Whether every step agrees.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.steps.iter().all(|step| step.disagreements.is_empty())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agree = self
            .steps
            .iter()
            .filter(|step| step.disagreements.is_empty())
            .count();
        write!(
            f,
            "scenario {}: {agree} of {} steps agree",
            self.name,
            self.steps.len()
        )
    }
}

impl fmt::Display for StepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.disagreements.is_empty() {
            "ok  "
        } else {
            "FAIL"
        };
        writeln!(f, "{:>2} {mark} {}", self.number, self.title)?;
        writeln!(f, "        call       {}", self.call)?;
        writeln!(f, "        expected   {}", self.expected)?;
        write!(f, "        came back  {}", self.came_back)?;
        for disagreement in &self.disagreements {
            write!(
                f,
                "\n        DISAGREES  {}",
                disagreement.replace('\n', "\n                   ")
            )?;
        }
        Ok(())
    }
}

/// Plays the scenario, each step through the next gateway; `tell` gets each step as it ends. A disagreement does not stop it.
///
/// # Errors
/// When the ground gives way: a program does not answer, a login fails. A disagreement is no error.
pub async fn run(
    scene: Scene<'_>,
    scenario: &Scenario,
    tell: impl Fn(&StepReport),
) -> anyhow::Result<Report> {
    let mut player = Player {
        scene,
        tokens: HashMap::new(),
        clients: HashMap::new(),
        approval: None,
        used_links: HashSet::new(),
    };
    let mut steps = Vec::new();
    for (index, step) in scenario.steps.iter().enumerate() {
        let number = index + 1;
        let report = player
            .play(number, step)
            .await
            .with_context(|| format!("step {number}, {}", step.title))?;
        tell(&report);
        steps.push(report);
    }
    let mut report = Report {
        name: scenario.name,
        steps,
    };
    player.count_verdicts(&mut report).await?;
    Ok(report)
}

struct Player<'a> {
    scene: Scene<'a>,
    tokens: HashMap<&'static str, Tokens>,
    clients: HashMap<(usize, &'static str, &'static str, Role), McpClient>,
    /// The id of the last approval that was pending.
    approval: Option<String>,
    /// Links to approvals that somebody has followed.
    used_links: HashSet<String>,
}

impl Player<'_> {
    async fn play(&mut self, number: usize, step: &Step) -> anyhow::Result<StepReport> {
        for event in &step.before {
            self.happen(*event).await?;
        }
        // Ids of both kinds: a reply must carry the very one.
        let id = if number.is_multiple_of(2) {
            json!(format!("call-{number}"))
        } else {
            json!(number)
        };
        let tokens = self.tokens_of(step.user).await?;
        let gateway = number % self.scene.gateways.len().max(1);
        let client = self.client(gateway, step, &tokens).await?;
        let direct = self.direct(step, &id).await?;
        let known = self.verdicts(step.tool)?.into_iter();
        let known = known.map(|record| record.decision_id).collect();
        self.scene.backends.forget().await?;

        let client = self.carrying(client, step.carry)?;
        let reply = client.call(&id, step.tool, &step.arguments).await?;
        let message = reply.message.as_ref();
        let told = message.and_then(|message| message.pointer("/error/data/elicitation_id"));
        if let Some(told) = told.and_then(Value::as_str) {
            self.approval = Some(told.to_owned());
        }

        let calls = self.scene.backends.calls(step.backend).await?;
        let verdicts = self.new_verdicts(step.tool, &known).await?;
        let seen = Observed {
            id: &id,
            tokens: &tokens,
            reply: &reply,
            direct: direct.as_ref(),
            calls: &calls,
            verdicts: &verdicts,
        };
        Ok(StepReport {
            number,
            title: title(step),
            call: match self.scene.gateways.len() {
                1 => format!(
                    "{} in session {}: {} {}",
                    step.user, step.session, step.tool, step.arguments
                ),
                _ => format!(
                    "{} in session {} at gateway {gateway}: {} {}",
                    step.user, step.session, step.tool, step.arguments
                ),
            },
            expected: expected(&step.expect),
            came_back: came_back(&reply, &calls, &verdicts),
            disagreements: disagreements(step, &seen),
        })
    }

    fn carrying(&self, client: McpClient, carry: Carry) -> anyhow::Result<McpClient> {
        if carry == Carry::Nothing {
            return Ok(client);
        }
        let id = self.approval.clone().context("no approval is pending")?;
        let mut headers = vec![("x-policy-elicitation-id", id)];
        if carry == Carry::Peek {
            headers.push(("x-policy-elicitation-peek", "true".to_owned()));
        }
        client.with_headers(&headers)
    }

    async fn happen(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::ManagerAnswers(who, desk, approve) => {
                let url = match desk {
                    Desk::Page => self.approval_link()?,
                    Desk::Provider => format!("http://{}/ciba?login_hint={who}", self.scene.idp.address),
                };
                let how = click::decide(&url, approve).await?;
                println!("   {who} {} {how}", if approve { "approves" } else { "denies" });
                // The provider is asked once a second at most.
                tokio::time::sleep(Duration::from_millis(1_100)).await;
                Ok(())
            }
            Event::KillAndRestartCompanion => {
                for companion in self.scene.companions.iter_mut() {
                    companion.kill_and_restart().await?;
                }
                Ok(())
            }
            Event::IdpGrantsLess(less) => self.scene.idp.grant_less(less).await,
            Event::LogInAgain => {
                // `iat` and `exp` count seconds: the new tokens must not equal the old ones.
                tokio::time::sleep(Duration::from_millis(1_100)).await;
                self.tokens.clear();
                self.clients.clear();
                Ok(())
            }
        }
    }

    /// The newest link to an approval, on the pages of another companion than the one that asks, if there is one.
    fn approval_link(&mut self) -> anyhow::Result<String> {
        let companions = &*self.scene.companions;
        let fresh = companions.iter().enumerate().find_map(|(at, companion)| {
            let links = companion.approval_links().into_iter().rev();
            let mut fresh = links.filter(|link| !self.used_links.contains(link));
            Some((at, fresh.next()?))
        });
        let (at, link) = fresh.context("no companion has printed a link to an approval")?;
        let (asks, serves) = (&companions[at], &companions[(at + 1) % companions.len()]);
        let own = format!("http://{}/", asks.pages);
        let path = link.strip_prefix(&own).context("a link to other pages")?;
        let there = format!("http://{}/{path}", serves.pages);
        self.used_links.insert(link);
        Ok(there)
    }

    async fn tokens_of(&mut self, user: &'static str) -> anyhow::Result<Tokens> {
        if let Some(known) = self.tokens.get(user) {
            return Ok(known.clone());
        }
        let tokens = self.scene.idp.log_in(user).await?;
        self.tokens.insert(user, tokens.clone());
        Ok(tokens)
    }

    /// The user's client of the backend in that session, after its handshake through Envoy.
    async fn client(&mut self, gateway: usize, step: &Step, tokens: &Tokens) -> anyhow::Result<McpClient> {
        let key = (gateway, step.user, step.session, step.backend);
        if let Some(known) = self.clients.get(&key) {
            return Ok(known.clone());
        }
        let gateway = self.scene.gateways.get(gateway).context("no gateway runs")?;
        let mut client = tokens.client(gateway, step.backend, step.session)?;
        client.connect().await?;
        self.clients.insert(key, client.clone());
        Ok(client)
    }

    /// What the backend itself answers, where the step expects that to come through.
    async fn direct(&self, step: &Step, id: &Value) -> anyhow::Result<Option<Reply>> {
        match &step.expect {
            Expect::Allowed(allowed) if !allowed.acts => {
                let mut client = self.scene.backends.direct(step.backend)?;
                client.connect().await?;
                Ok(Some(client.call(id, step.tool, &step.arguments).await?))
            }
            Expect::Allowed(_) | Expect::Denied(_) | Expect::Pending(..) | Expect::Approved(_) => Ok(None),
        }
    }

    /// The records of every companion. One that was killed before it could acknowledge a record has it, and so has the one that
    /// was asked instead: the worker's number says that it is the same.
    fn audit(&self) -> anyhow::Result<Vec<AuditRecord>> {
        let logs = self.scene.companions.iter().map(Companion::audit);
        let (mut all, mut elsewhere) = (Vec::new(), HashSet::new());
        for mut log in logs.collect::<anyhow::Result<Vec<_>>>()? {
            log.retain(|record| !elsewhere.contains(&(record.stream.clone(), record.seq)));
            elsewhere.extend(log.iter().map(|record| (record.stream.clone(), record.seq)));
            all.extend(log);
        }
        Ok(all)
    }

    fn verdicts(&self, tool: &str) -> anyhow::Result<Vec<AuditRecord>> {
        let mut records = self.audit()?;
        records.retain(|record| {
            record.verdict.is_some() && record.entity_type == "tool" && record.entity_name == tool
        });
        Ok(records)
    }

    /// The tool's verdict records of decisions that are not `known`, as soon as there is one.
    async fn new_verdicts(&self, tool: &str, known: &HashSet<String>) -> anyhow::Result<Vec<AuditRecord>> {
        let started = Instant::now();
        loop {
            let mut records = self.verdicts(tool)?;
            // The filter ships its queue on a tick.
            records.retain(|record| !known.contains(&record.decision_id));
            if !records.is_empty() || started.elapsed() > PATIENCE {
                return Ok(records);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A verdict recorded twice may come late: at the end, there are as many records as steps.
    async fn count_verdicts(&self, report: &mut Report) -> anyhow::Result<()> {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let records = self.audit()?;
        let verdicts = records
            .iter()
            .filter(|record| record.verdict.is_some() && record.entity_type == "tool")
            .count();
        let steps = report.steps.len();
        if let Some(last) = report.steps.last_mut().filter(|_| verdicts != steps) {
            last.disagreements.push(format!(
                "in all, {verdicts} audit records of verdicts for {steps} calls"
            ));
        }
        Ok(())
    }
}

fn title(step: &Step) -> String {
    let event = |event: &Event| match event {
        Event::ManagerAnswers(_, _, true) => "[the manager approves] ",
        Event::ManagerAnswers(_, _, false) => "[the manager denies] ",
        Event::KillAndRestartCompanion => "[companion killed and restarted] ",
        Event::IdpGrantsLess(true) => "[identity provider grants less] ",
        Event::IdpGrantsLess(false) => "[identity provider grants what is asked] ",
        Event::LogInAgain => "[users log in again] ",
    };
    step.before.iter().map(event).chain([step.title]).collect()
}

fn expected(expect: &Expect) -> String {
    match expect {
        Expect::Pending(who, channel) => {
            format!("waits for {who} by {channel}; nothing reaches the backend; one audit record")
        }
        Expect::Approved(who) => {
            format!("{who} has approved; nothing reaches the backend yet; one audit record")
        }
        Expect::Denied(denied) => format!(
            "denied `{}`; nothing reaches the backend; one audit record",
            denied.code
        ),
        Expect::Allowed(allowed) => {
            let mut text = match allowed.acts {
                true => "the backend acts".to_owned(),
                false => "the backend's own reply".to_owned(),
            };
            if let Some((from, to)) = allowed.edited {
                text.push_str(&format!(" but for {from} → {to}"));
            }
            if let Some((audience, scope)) = allowed.token {
                text.push_str(&format!(
                    "; it saw a token for {audience} with scope {scope} only"
                ));
            }
            if let Some(arguments) = &allowed.arguments {
                text.push_str(&format!("; it saw {arguments}"));
            }
            text.push_str("; one audit record");
            text
        }
    }
}

fn came_back(reply: &Reply, calls: &[Request], verdicts: &[AuditRecord]) -> String {
    let backend = match calls {
        [] => "nothing".to_owned(),
        [call] => match bearer_claims(call) {
            Some(claims) => format!("aud {} scope {}", claims["aud"], claims["scope"]),
            None => "one call without a bearer token".to_owned(),
        },
        more => format!("{} calls", more.len()),
    };
    let audit: Vec<String> = verdicts
        .iter()
        .map(|record| match (&record.verdict, &record.code) {
            (Some(kind), Some(code)) => format!("{kind:?} {code}"),
            (Some(kind), None) => format!("{kind:?}"),
            (None, _) => "step".to_owned(),
        })
        .collect();
    format!(
        "{} | backend saw {backend} | audit: {}",
        reply.summary(),
        audit.join(", ")
    )
}
