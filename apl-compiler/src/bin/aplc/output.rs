//! Standard output that cannot be written to, which `print!` panics about.

use std::panic::PanicHookInfo;
use std::process::exit;

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send + 'static>;

/// What a shell shows for a program that a closed pipe has ended, 128 and SIGPIPE.
const CLOSED_PIPE: i32 = 141;

/// Ends quietly when the reader has seen enough (`aplc listing policy.aplb | head`), with a sentence when a disk is full;
/// everything else goes to the hook before.
pub(crate) fn hook(before: Hook) -> Hook {
    Box::new(move |info| {
        let cause = info
            .payload_as_str()
            .and_then(|text| text.strip_prefix("failed printing to stdout: "));
        match cause {
            // On Windows the system says it in other words.
            Some(cause) if cause.contains("Broken pipe") || cause.contains("pipe is being closed") => {
                exit(CLOSED_PIPE);
            }
            Some(cause) => {
                eprintln!("aplc: cannot write to standard output: {cause}");
                exit(2);
            }
            None => before(info),
        }
    })
}
