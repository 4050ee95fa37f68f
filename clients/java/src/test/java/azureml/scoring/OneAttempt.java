package azureml.scoring;

/** Clients that repeat nothing, for tests of what one attempt comes to. */
final class OneAttempt {
  private OneAttempt() {}

  static ScoringClient.Builder builder(String scoringUri) {
    return ScoringClient.builder(scoringUri).maxRetries(0);
  }

  static ScoringClient create(String scoringUri, String key) {
    return builder(scoringUri).key(key).build();
  }
}
