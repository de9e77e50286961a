//! Schedules wake functions at zero.

use std::time::Duration;

use flint_e2e::{eventually, namespace::with_namespace};
use serde_json::json;

#[tokio::test]
async fn a_schedule_fires_a_function_at_zero_and_status_says_when_next() {
    with_namespace("schedule", |namespace| async move {
        let code =
            "def handler(event, context):\n    print('fired with ' + event['word'])\n    return 'ok'\n";
        let function = namespace
            .function("minutely")
            .python(code)
            .set(
                "schedules",
                json!([
                    {"name": "minutely", "cron": "cron(* * * * ? *)", "input": {"word": "sesame"}},
                    {"name": "never", "cron": "rate(1 minute)", "enabled": false},
                ]),
            )
            .apply()
            .await;
        function.ready().await;
        function.zero().await;
        let fired = eventually("a firing", Duration::from_secs(150), || async {
            let status = function.current().await.status.unwrap_or_default();
            match status.schedules.iter().find(|schedule| schedule.name == "minutely") {
                Some(schedule) if schedule.last_done => Ok(schedule.clone()),
                seen => Err(format!("{seen:?}")),
            }
        })
        .await;
        assert_eq!(fired.last_status, Some(200));
        assert!(fired.next_firing > fired.last_firing, "{fired:?}");
        let status = function.current().await.status.unwrap_or_default();
        let never = status.schedules.iter().find(|schedule| schedule.name == "never");
        assert!(
            never.is_none_or(|schedule| schedule.last_firing.is_none()),
            "one that is not enabled does not fire: {never:?}"
        );
    })
    .await;
}
