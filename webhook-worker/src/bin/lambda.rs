//! The Lambda function behind a queue of webhooks (`provided.al2023`): one attempt for each message of an event, and an
//! answer that names those which failed, so that the queue repeats them alone.
//!
//! Its event source has to report partial batch failures (`ReportBatchItemFailures`); without that, what fails is lost.

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use tokio::time::Instant;
use webhook_worker::{
    batch::{Batches, Message},
    deliver::Deliverer,
    log,
    retry::Schedule,
    settings::{self, LAMBDA_SETTINGS},
};

/// The exit code of a program that was called with settings it cannot use (`EX_USAGE` of sysexits.h).
const EX_USAGE: u8 = 64;

/// What is left of a function's time for its answer.
const ANSWER: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let environment = std::env::vars_os().collect();
    let settings = match settings::read(LAMBDA_SETTINGS, Vec::new(), &environment) {
        Ok(settings) => settings,
        Err(lines) => {
            eprintln!("{}", lines.join("\n"));
            return ExitCode::from(EX_USAGE);
        }
    };
    log::begin(&settings.values);
    let schedule = Schedule { horizon: settings::horizon(&settings.values), ..Schedule::default() };
    let deliverer = Deliverer::new(settings::delivery(&settings.values));
    let batches = Arc::new(Batches::new(deliverer, settings.apps, schedule));
    match serve(&batches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers events until there are no more. One thread suffices: all of it is waiting for receivers.
#[tokio::main(flavor = "current_thread")]
async fn serve(batches: &Arc<Batches>) -> Result<(), Error> {
    let answer = |event: LambdaEvent<SqsEvent>| {
        let batches = Arc::clone(batches);
        async move {
            let until = Instant::now() + time_left(event.context.deadline());
            let messages: Option<Vec<_>> = event.payload.records.into_iter().map(message).collect();
            // Nobody could say which of them failed.
            let messages = messages.ok_or("a record has no messageId")?;
            Ok::<_, Error>(answer(batches.deliver(messages, until).await))
        }
    };
    lambda_runtime::run(service_fn(answer)).await
}

fn time_left(deadline: SystemTime) -> Duration {
    deadline.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(ANSWER)
}

fn message(mut record: SqsMessage) -> Option<Message> {
    let number = |name| record.attributes.get(name).and_then(|text| text.parse::<u64>().ok());
    let receives = number("ApproximateReceiveCount").and_then(|count| u32::try_from(count).ok());
    let sent_at_ms = number("SentTimestamp").unwrap_or(0);
    Some(Message {
        id: record.message_id?,
        group: record.attributes.remove("MessageGroupId"),
        receives: receives.unwrap_or(1),
        sent_at_ms,
        body: record.body.unwrap_or_default(),
    })
}

fn answer(failed: Vec<String>) -> SqsBatchResponse {
    let mut answer = SqsBatchResponse::default();
    for id in failed {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id;
        answer.batch_item_failures.push(failure);
    }
    answer
}
