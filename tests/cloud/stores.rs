//! Apps that are kept in DynamoDB.

use crate::support::{aws::Aws, stores::pass_suite};

#[tokio::test]
async fn dynamodb_is_a_store_of_apps() {
    let aws = Aws::start().await;
    let mut variables = Aws::variables(aws.address).to_vec();
    variables.push(("SOCKET_RUSH_TEST_DYNAMODB", format!("http://{}", aws.address)));
    pass_suite("dynamodb", variables).await;
}
