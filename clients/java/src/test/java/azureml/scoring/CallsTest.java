package azureml.scoring;

import static azureml.scoring.ScriptedServer.reply;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import azureml.scoring.ScoringClient.ReplyException;
import azureml.scoring.ScoringClient.ServiceException;
import azureml.scoring.ScoringClient.TransportException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** JSON, bytes, swagger and health. */
class CallsTest {
  @BeforeAll
  static void warmUp() throws Exception {
    OneAttempt.warmUp();
  }

  private static String json(String reply) throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", reply);
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      return client.scoreJson("1");
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"data\": [[1.5, 9007199254740993]], \"x\": \"\\u00e9 é\"}",
        " [1.0, 1e400, -0] \n",
        "\"text\"",
        "null",
        "18446744073709551617"
      })
  // Proves B12, B13.
  void jsonIsSentAsItIs(String json) throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "{}");
        ScoringClient client = ScoringClient.create(server.uri("/score"), "K1")) {
      client.scoreJson(json);
      ScriptedServer.Request request = server.onlyRequest();
      assertEquals(json, request.text());
      assertEquals(List.of("application/json"), request.header("Content-Type"));
      assertEquals(List.of("Bearer K1"), request.header("Authorization"));
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        " ",
        "nope",
        "[1, NaN]",
        "[Infinity]",
        "[1] 2",
        "[1",
        "\uFEFF[1]",
        "{'a': 1}",
        "01",
        "\"half \ud800\""
      })
  // Proves B13.
  void aPayloadThatIsNotJsonIsRefusedAndNothingSent(String json) throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "{}");
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      assertEquals(
          "the payload is not JSON",
          assertThrows(IllegalArgumentException.class, () -> client.scoreJson(json)).getMessage());
      assertEquals(0, server.connections());
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"a\": [1, 9007199254740993, 1e400]}",
        "\"[1.5]\"",
        "null",
        "12345678901234567890123456789",
        " [1]\n"
      })
  // Proves B52.
  void anyJsonValueIsReturnedAsItCame(String reply) throws Exception {
    assertEquals(reply, json(reply));
    assertEquals(reply, json("\uFEFF" + reply));
    try (ScriptedServer server = ScriptedServer.replying("200 OK", reply);
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      assertEquals(reply, client.swagger());
    }
  }

  // Proves B52.
  @Test
  void longNumbersAndDeepValuesAreJson() throws Exception {
    String digits = "[" + "1".repeat(2_000_000) + "]";
    assertEquals(digits, json(digits));
    String deep = "[".repeat(64) + "]".repeat(64);
    assertEquals(deep, json(deep));
    assertThrows(ReplyException.class, () -> json("[".repeat(100_000)));
  }

  // Proves B13, B52.
  @Test
  void longTextsAndNamesAreJson() throws Exception {
    String longest =
        "{\"" + "n".repeat(60_000) + "\":\"" + "x".repeat(20_000_001) + "\"}"; // Jackson's limits
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) ->
                    connection.write(ScriptedServer.reply("200 OK", request.body())));
        ScoringClient client = OneAttempt.create(server.uri("/score"), null)) {
      assertTrue(longest.equals(client.scoreJson(longest)), "the text did not come back");
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "''           | the reply is empty",
        "[1           | the reply is not JSON",
        "[1] 2        | the reply is not JSON",
        "[NaN]        | the reply contains NaN or Infinity, which is not JSON",
        "{\"a\": -Infinity} | the reply contains NaN or Infinity, which is not JSON"
      })
  // Proves B52.
  void whatIsNotJsonIsAReplyError(String reply, String reason) {
    assertEquals(reason, assertThrows(ReplyException.class, () -> json(reply)).reason());
  }

  // Proves B52.
  @Test
  void invalidUtf8IsAReplyErrorAndARealReplacementCharacterIsNot() throws Exception {
    byte[] invalid = {'"', (byte) 0xFF, '"'};
    try (ScriptedServer server = ScriptedServer.replying("200 OK", invalid);
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      assertEquals(
          "the reply is not valid UTF-8",
          assertThrows(ReplyException.class, () -> client.scoreJson("1")).reason());
    }
    assertEquals("\"\uFFFD\"", json("\"\uFFFD\""));
  }

  // Proves B12, B52.
  @ParameterizedTest
  @ValueSource(ints = {0, 1, 256, 20_000_000})
  void bytesGoAndComeUntouched(int length) throws Exception {
    byte[] body = new byte[length];
    for (int i = 0; i < length; i++) {
      body[i] = (byte) (i * 31);
    }
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) -> connection.write(reply("200 OK", request.body())));
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      assertArrayEquals(body, client.scoreBytes(body, "image/x-portable-graymap; v=1"));
      ScriptedServer.Request request = server.onlyRequest();
      assertArrayEquals(body, request.body());
      assertEquals(List.of("image/x-portable-graymap; v=1"), request.header("Content-Type"));
      assertEquals(List.of(String.valueOf(length)), request.header("Content-Length"));
      assertEquals(List.of(), request.header("Transfer-Encoding"));
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "``               | the content type is empty",
        "`image/png\r\nX: 1` | the content type has a character that cannot be sent in a header at position 9",
        "` image/png`     | the content type has a character that cannot be sent in a header at position 0",
        "`image/png `     | the content type has a character that cannot be sent in a header at position 9",
        "`imagé/png`      | the content type has a character that cannot be sent in a header at position 4"
      })
  // Proves B02.
  void aContentTypeThatCannotTravelIsRefused(String type, String message) throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "");
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      assertEquals(
          message,
          assertThrows(IllegalArgumentException.class, () -> client.scoreBytes(new byte[1], type))
              .getMessage());
      assertEquals(0, server.connections());
    }
  }

  // Proves B53, B54.
  @Test
  void bytesAreCappedAndNotDecompressed() throws Exception {
    try (ScriptedServer server =
            ScriptedServer.replying(
                reply("200 OK", "12345"), reply("200 OK\nContent-Encoding: br", "1"));
        ScoringClient client =
            ScoringClient.builder(server.uri("/score")).maxReplyBytes(4).build()) {
      assertEquals(
          "the reply is larger than 4 bytes",
          assertThrows(ReplyException.class, () -> client.scoreBytes(new byte[1], "a/b")).reason());
      assertEquals(
          "the reply has Content-Encoding: br, which was not asked for",
          assertThrows(ReplyException.class, () -> client.scoreBytes(new byte[1], "a/b")).reason());
    }
  }

  // Proves B02.
  @Test
  void theDeploymentIsNamedInScoringCallsOnly() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "[]");
        ScoringClient client =
            ScoringClient.builder(server.uri("/score")).deployment("blue").build()) {
      client.score(new double[][] {});
      client.scoreJson("1");
      client.scoreBytes(new byte[1], "a/b");
      client.swagger();
      client.isHealthy();
      List<List<String>> sent =
          server.requests().stream()
              .map(request -> request.header("azureml-model-deployment"))
              .toList();
      List<String> blue = List.of("blue");
      assertEquals(List.of(blue, blue, blue, List.of(), List.of()), sent);
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "''                           | /",
        "/score                       | /",
        "/score?code=1                | /",
        "/api/v1/service/n/score      | /api/v1/service/n/",
        "/a//b/score                  | /a//b/",
        "/a/                          | /a/"
      })
  // Proves B14, B70, B71.
  void swaggerAndHealthAreBesideTheScoringUri(String path, String folder) throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "{}");
        ScoringClient client = ScoringClient.create(server.uri(path), "K1")) {
      client.swagger();
      client.isHealthy();
      assertEquals("GET " + folder + "swagger.json HTTP/1.1", server.requests().get(0).line());
      assertEquals("GET " + folder + " HTTP/1.1", server.requests().get(1).line());
      for (ScriptedServer.Request request : server.requests()) {
        assertEquals(List.of("Bearer K1"), request.header("Authorization"));
        assertEquals(1, request.header("x-ms-client-request-id").size());
        assertEquals(List.of(), request.header("Content-Type"));
        assertEquals(List.of(), request.header("Transfer-Encoding"));
      }
    }
  }

  // Proves B63, B70.
  @Test
  void swaggerIsRepeatedAndA404IsAServiceError() throws Exception {
    FakeTime time = new FakeTime(0.5);
    try (ScriptedServer server =
            ScriptedServer.replying(reply("503 Busy", ""), reply("404 Not Found", "no such page"));
        ScoringClient client =
            ScoringClient.builder(server.uri("/score?code=1")).time(time).build()) {
      ServiceException error = assertThrows(ServiceException.class, client::swagger);
      assertEquals(
          "GET " + server.uri("/swagger.json") + ": 404: no such page (2 attempts)",
          error.getMessage());
      assertEquals(1, time.sleeps().size());
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "200 OK      | Healthy     | true",
        "201 Created | `Healthy\n` | true",
        "200 OK      | \"Healthy\" | true",
        "200 OK      | `\uFEFF \t\r\nHealthy \n` | true",
        "200 OK      | `\uFEFF\uFEFFHealthy` | false",
        "200 OK      | `Healthy\u000B` | false",
        "200 OK      | \"Healthy | false",
        "200 OK      | healthy     | false",
        "200 OK      | ``          | false",
        "200 OK      | Unhealthy   | false",
        "`200 OK\nContent-Encoding: gzip` | Healthy | false",
        "`503 Busy`  | Healthy     | false",
        "401 No      | Healthy     | false",
        "`302 Moved\nLocation: /` | Healthy | false"
      })
  // Proves B71.
  void onlyASuccessThatSaysHealthyIs(String status, String body, boolean healthy) throws Exception {
    try (ScriptedServer server = ScriptedServer.replying(status, body);
        ScoringClient client = ScoringClient.create(server.uri("/score"), "K1")) {
      assertEquals(healthy, client.isHealthy());
      assertEquals(1, server.requests().size());
    }
  }

  // Proves B71.
  @Test
  void noReplyIsATransportErrorAfterOneAttempt() throws Exception {
    try (ScriptedServer server =
            new ScriptedServer((request, connection) -> connection.awaitEnd());
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      TransportException error =
          assertThrows(TransportException.class, () -> client.isHealthy(Duration.ofMillis(300)));
      assertTrue(error.timedOut());
      assertEquals(1, error.attempts());
    }
  }

  // Proves B34.
  @Test
  void everyCallTakesALimit() throws Exception {
    Duration limit = Duration.ofMillis(300);
    try (ScriptedServer server =
            new ScriptedServer((request, connection) -> connection.awaitEnd());
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      for (org.junit.jupiter.api.function.Executable call :
          List.<org.junit.jupiter.api.function.Executable>of(
              () -> client.score(new double[][] {}, limit),
              () -> client.scoreJson("1", limit),
              () -> client.scoreBytes(new byte[1], "a/b", limit),
              () -> client.swagger(limit))) {
        TransportException error = assertThrows(TransportException.class, call);
        assertTrue(error.timedOut());
        assertTrue(
            error.getMessage().contains("no complete reply within 0.3 s"), error.getMessage());
      }
    }
  }

  // Proves B10, B49, B51, B63.
  @ParameterizedTest
  @ValueSource(strings = {"de-DE", "tr-TR", "ar-EG"})
  void theLocaleChangesNothing(String tag) throws Exception {
    Locale before = Locale.getDefault();
    Locale.setDefault(Locale.forLanguageTag(tag));
    try (ScriptedServer server =
            ScriptedServer.replying(
                reply("503 Busy\nRETRY-AFTER: Sun, 06 Nov 1994 08:49:37 GMT", "<TITLE>"),
                reply("424 No\nMS-AZUREML-MODEL-ERROR-REASON: model_not_ready", ""),
                reply("200 OK\nCONTENT-ENCODING: IDENTITY", "[1234.5]"),
                reply("500 No\nX-MS-RUN-FUNCTION-FAILED: TRUE", "<HTML><TITLE>I</TITLE>"));
        ScoringClient client =
            ScoringClient.builder(server.uri("/score"))
                .time(new FakeTime(0.5))
                .timeout(Duration.ofMillis(90_500))
                .key("hunter2")
                .build()) {
      assertArrayEquals(new double[] {1234.5}, client.score(new double[][] {{1234.5}}));
      assertEquals("{\"data\":[[1234.5]]}", server.requests().get(0).text());
      ServiceException error =
          assertThrows(ServiceException.class, () -> client.score(new double[][] {{1}}));
      assertEquals("I", error.serviceMessage());
      assertTrue(error.runFunctionFailed());
      assertTrue(error.getMessage().endsWith("/score: 500: I (1 attempt)"), error.getMessage());
      assertFalse(error.getMessage().contains("hunter2"));
    } finally {
      Locale.setDefault(before);
    }
  }

  // Proves B10, B51.
  @Test
  void twentyMegabytesGoAndCome() throws Exception {
    double[][] rows = new double[100_000][10];
    StringBuilder numbers = new StringBuilder("[0.1234567890123456");
    for (int i = 1; i < rows.length; i++) {
      java.util.Arrays.fill(rows[i], 0.1234567890123456 + i);
      numbers.append(", ").append(i).append(".25").append(" ".repeat(180));
    }
    byte[] body = numbers.append(']').toString().getBytes(StandardCharsets.UTF_8);
    assertTrue(body.length > 18_000_000);
    try (ScriptedServer server = ScriptedServer.replying("200 OK", body);
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      double[] predictions = client.score(rows);
      assertEquals(99_999.25, predictions[99_999]);
      assertTrue(server.onlyRequest().body().length > 17_000_000);
    }
  }

  @Test
  void nullsAreNamed() throws Exception {
    try (ScoringClient client = ScoringClient.create("https://host/score", null)) {
      assertEquals(
          "json",
          assertThrows(NullPointerException.class, () -> client.scoreJson(null)).getMessage());
      assertEquals(
          "body",
          assertThrows(NullPointerException.class, () -> client.scoreBytes(null, "a/b"))
              .getMessage());
    }
  }
}
