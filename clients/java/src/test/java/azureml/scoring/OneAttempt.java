package azureml.scoring;

/** Clients that repeat nothing, for tests of what one attempt comes to. */
final class OneAttempt {
  private OneAttempt() {}

  static ScoringClient.Builder builder(String scoringUri) {
    return ScoringClient.builder(scoringUri).maxRetries(0);
  }

  /** Loads the classes of a call, which would take some of the first short time limit. */
  static void warmUp() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "[]");
        ScoringClient client = create(server.uri("/score"), null)) {
      client.score(new double[][] {});
    }
  }

  static ScoringClient create(String scoringUri, String key) {
    return builder(scoringUri).key(key).build();
  }
}
