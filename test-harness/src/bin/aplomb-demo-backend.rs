//! One demo backend: `aplomb-demo-backend --role hr|repos|email --listen ADDR [--replies sse|json]`.

use aplomb_test_harness::backend::{self, Replies, Role};
use aplomb_test_harness::flags::Flags;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut flags = Flags::parse(std::env::args().skip(1))?;
    let role: Role = flags.required("role")?.parse()?;
    let listen = flags.required("listen")?.parse()?;
    let replies = flags
        .value("replies")?
        .map_or(Ok(Replies::Sse), |given| given.parse())?;
    flags.done()?;
    backend::serve(role, replies, listen).await
}
