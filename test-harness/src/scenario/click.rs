//! A manager's click: in a real Chromium where one is installed, else the same forms by hand.

use anyhow::{Context as _, bail, ensure};
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use tokio::process::Command;

use crate::tools;

/// Opens `url` and decides what stands there; says how.
///
/// # Errors
/// When there is nothing to decide, or the page does not take the decision.
pub(super) async fn decide(url: &str, approve: bool) -> anyhow::Result<&'static str> {
    let decision = if approve { "approve" } else { "deny" };
    let browser = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find_map(tools::program);
    let node = tools::program("node");
    let (Some(browser), Some(node), Some(modules)) = (browser, node, tools::node_modules("puppeteer-core"))
    else {
        by_hand(url, decision).await?;
        return Ok("by hand: no browser is installed");
    };
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("click.mjs");
    std::fs::write(&script, include_str!("click.mjs"))?;
    // Node looks for modules upwards from the file.
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules"))?;
    let mut command = Command::new(node);
    command
        .arg(script)
        .arg(browser)
        .args([url, decision])
        .kill_on_drop(true);
    let output = command.output().await.context("cannot run node")?;
    ensure!(
        output.status.success(),
        "the click failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok("in Chromium")
}

/// The forms that a browser would send.
async fn by_hand(url: &str, decision: &str) -> anyhow::Result<()> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let origin = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let (mut at, mut cookie) = (url.to_owned(), String::new());
    for _ in 0..3 {
        let page = http.get(&at).header(COOKIE, &cookie).send().await?.text().await?;
        let decides = page.contains("name=\"decision\"") || page.contains("name=decision");
        // The last form is the page's own; the first may be the one to sign out.
        let form = page.rsplit_once("<form").context("a page without a form")?.1;
        let action = attribute(form, "action").context("a form without an address")?;
        let mut fields = form_urlencoded::Serializer::new(String::new());
        for input in form.split("<input").skip(1) {
            if let (Some(name), Some(value)) = (attribute(input, "name"), attribute(input, "value")) {
                fields.append_pair(&name, &value);
            }
        }
        if decides {
            fields.append_pair("decision", decision);
        }
        let request = http
            .post(format!("{origin}{action}"))
            .header(ORIGIN, &origin)
            .header(COOKIE, &cookie)
            .header("content-type", "application/x-www-form-urlencoded");
        let reply = request.body(fields.finish()).send().await?;
        let status = reply.status();
        let taken = status.is_success() || status.is_redirection();
        ensure!(taken, "{origin}{action} answered {status}");
        if decides {
            return Ok(());
        }
        let header = |name| reply.headers().get(name).and_then(|value| value.to_str().ok());
        let set = header(SET_COOKIE).context("no session")?;
        set.split(';').next().unwrap_or_default().clone_into(&mut cookie);
        at = format!("{origin}{}", header(LOCATION).context("no way on")?);
    }
    bail!("there was nothing to decide at {url}")
}

/// An attribute's value, quoted or not, in the tag that `text` begins with.
fn attribute(text: &str, name: &str) -> Option<String> {
    let tag = text.split('>').next()?;
    let (_, rest) = tag.split_once(&format!(" {name}="))?;
    let value = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split_ascii_whitespace().next()?,
    };
    Some(value.to_owned())
}
