package azureml.scoring;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import azureml.scoring.ScoringClient.ServiceException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Any status but 2xx: B22, B46, B50, B54, B60, B61, B62, B63. */
class ServiceErrorTest {
  private static final double[][] ROWS = {{1.5}};

  private static ServiceException error(String statusAndHeaders, byte[] body) throws Exception {
    try (ScriptedServer server = ScriptedServer.replying(statusAndHeaders, body)) {
      ServiceException error = error(server);
      assertEquals(
          server.onlyRequest().header("x-ms-client-request-id").get(0), error.clientRequestId());
      return error;
    }
  }

  private static ServiceException error(String statusAndHeaders, String body) throws Exception {
    return error(statusAndHeaders, body.getBytes(StandardCharsets.UTF_8));
  }

  private static ServiceException error(ScriptedServer server) {
    try (ScoringClient client = OneAttempt.create(server.uri("/a/score?code=hunter2"), null)) {
      ServiceException error = assertThrows(ServiceException.class, () -> client.score(ROWS));
      assertEquals(1, error.attempts());
      return error;
    }
  }

  private static String withoutPort(ServiceException error) {
    return error.getMessage().replaceFirst("127\\.0\\.0\\.1:[0-9]+", "host");
  }

  @ParameterizedTest
  @ValueSource(
      ints = {
        300, 304, 400, 401, 403, 404, 405, 407, 408, 413, 415, 418, 424, 429, 431, 500, 501, 502,
        503, 504, 599
      })
  // Proves B46, B50.
  void anyStatusButASuccessIsAServiceErrorAfterOneRequest(int status) throws Exception {
    String body = status == 304 ? "" : "[2.5]";
    ServiceException error = error(status + " Whatever", body);
    assertEquals(status, error.status());
    assertArrayEquals(body.getBytes(StandardCharsets.UTF_8), error.body());
  }

  // Proves B22.
  @ParameterizedTest
  @ValueSource(ints = {301, 302, 303, 307, 308})
  void aRedirectIsNotFollowed(int status) throws Exception {
    try (ScriptedServer other = ScriptedServer.replying("200 OK", "[2.5]")) {
      ServiceException error = error(status + " Moved\nLocation: " + other.uri("/score"), "");
      assertEquals(status, error.status());
      assertEquals(0, other.connections());
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      textBlock =
          """
          {"message": "no"}                                         | no
          {"status_code": 400, "message": "no"}                     | no
          {"message": "no", "error": "other", "detail": "other"}    | no
          {"error": {"code": 400, "message": "no"}, "detail": "x"}  | no
          {"error": "no", "detail": "other"}                        | no
          {"detail": "no"}                                          | no
          {"message": "", "error": {"message": ""}, "detail": "no"} | no
          {"message": 5, "error": {"message": null}, "detail": "no"}| no
          "no"                                                      | no
          "[1.5]"                                                   | [1.5]
          no                                                        | no
          `  no\t`                                                  | no
          {"message": "no"                                          | {"message": "no"
          <html><head><title>no</title></head></html>               | no
          <!DOCTYPE html><TITLE lang="en"> n  o </TITLE>            | n o
          <head><title>&lt;a&gt; &quot;b&quot; &#39;c&#39; &amp;lt;</title>  | <a> "b" 'c' &lt;
          <html><body>no title</body></html>                        | ``
          <Error>no</Error>                                         | <Error>no</Error>
          {"other": "x"}                                            | ``
          {"message": {"a": [1]}}                                   | ``
          {"error": ["a"], "detail": [{"msg": "a"}]}                | ``
          [1.5, 2.5]                                                | ``
          42                                                        | ``
          null                                                      | ``
          ``                                                        | ``
          """)
  // Proves B62, B63.
  void theServicesOwnWordsAreFound(String body, String message) throws Exception {
    ServiceException error = error("400 Bad Request\nContent-Type: application/octet-stream", body);
    assertEquals(message, error.serviceMessage());
    String shown = message.isEmpty() ? "" : ": " + message;
    assertEquals("POST http://host/a/score: 400" + shown + " (1 attempt)", withoutPort(error));
  }

  @Test
  void aMarkBeforeTheBodyIsSkipped() throws Exception {
    assertEquals("no", error("400 Bad Request", "\uFEFF{\"message\": \"no\"}").serviceMessage());
  }

  // Proves B50, B62.
  @Test
  void noBodyHidesTheStatus() throws Exception {
    byte[][] bodies = {
      {(byte) 0xFF, (byte) 0xFE, (byte) 0xFD},
      "[".repeat(100_000).getBytes(StandardCharsets.UTF_8),
      ("{\"message\": 1" + "0".repeat(10_000) + "}").getBytes(StandardCharsets.UTF_8),
      new byte[70_000],
      "\"\\ud800\"".getBytes(StandardCharsets.UTF_8)
    };
    for (byte[] body : bodies) {
      assertEquals(404, error("404 Not Found\nContent-Type: application/json", body).status());
      assertEquals(404, error("404 Not Found\nContent-Encoding: gzip", body).status());
    }
  }

  @Test
  void halfACharacterBecomesTheReplacementCharacter() throws Exception {
    assertEquals("a\uFFFDb", error("400 Bad Request", "\"a\\ud800b\"").serviceMessage());
  }

  // Proves B61, B63.
  @Test
  void theFieldsAreThoseOfTheReply() throws Exception {
    ServiceException error =
        error(
            "424 Failed Dependency\nX-Request-Id: rq-1\nx-ms-request-id: rq-2\nMs-Azureml-Model-Error-Statuscode: 429\n"
                + "ms-azureml-model-error-reason: too_few_model_instance\nx-ms-run-function-failed: TRUE",
            "{\"message\": \"busy\"}");
    assertEquals(424, error.status());
    assertEquals("busy", error.serviceMessage());
    assertArrayEquals("{\"message\": \"busy\"}".getBytes(StandardCharsets.UTF_8), error.body());
    assertEquals(Optional.of("rq-1"), error.requestId());
    assertEquals(OptionalInt.of(429), error.modelStatus());
    assertEquals(Optional.of("too_few_model_instance"), error.modelReason());
    assertTrue(error.runFunctionFailed());
    assertNull(error.getCause());
    assertEquals(
        "POST http://host/a/score: 424: busy (1 attempt, request id rq-1)", withoutPort(error));
  }

  // Proves B61.
  @ParameterizedTest
  @ValueSource(strings = {"42", "4290", "-42", "4 2", "４２９", ""})
  void aModelStatusThatIsNotThreeDigitsIsNone(String status) throws Exception {
    ServiceException error = error("424 No\nms-azureml-model-error-statuscode: " + status, "");
    assertEquals(OptionalInt.empty(), error.modelStatus());
  }

  // Proves B61.
  @Test
  void fieldsThatTheReplyLacksAreEmpty() throws Exception {
    ServiceException error =
        error(
            "500 Error\nms-azureml-model-error-statuscode: many\nx-ms-run-function-failed: 1", "");
    assertEquals(Optional.empty(), error.requestId());
    assertEquals(OptionalInt.empty(), error.modelStatus());
    assertEquals(Optional.empty(), error.modelReason());
    assertFalse(error.runFunctionFailed());
    assertEquals("POST http://host/a/score: 500 (1 attempt)", withoutPort(error));
  }

  // Proves B61.
  @Test
  void theSecondNameOfTheRequestIdServesWhenTheFirstIsEmpty() throws Exception {
    assertEquals(
        Optional.of("rq-2"), error("400 No\nx-request-id:\nx-ms-request-id: rq-2", "").requestId());
  }

  @Test
  void theBodyIsACopy() throws Exception {
    ServiceException error = error("400 No", "abc");
    Arrays.fill(error.body(), (byte) 0);
    assertArrayEquals("abc".getBytes(StandardCharsets.UTF_8), error.body());
  }

  // Proves B54, B61, B63.
  @Test
  void aLongBodyIsCutAndALongMessageShownInPart() throws Exception {
    ServiceException error = error("400 No", "é\n".repeat(50_000));
    assertEquals(64 * 1024, error.body().length);
    assertEquals(
        "POST http://host/a/score: 400: " + "é ".repeat(149) + "é… (1 attempt)",
        withoutPort(error));
  }

  // Proves B50.
  @Test
  void aBodyThatBreaksOffLeavesTheStatusAndWhatCame() throws Exception {
    try (ScriptedServer server =
        new ScriptedServer(
            (request, connection) -> {
              connection.write(
                  "HTTP/1.1 503 Busy\r\nx-request-id: rq-1\r\nContent-Length: 100\r\n\r\ntoo many");
              connection.close();
            })) {
      ServiceException error = error(server);
      assertEquals(503, error.status());
      assertEquals("too many", error.serviceMessage());
      assertEquals(Optional.of("rq-1"), error.requestId());
    }
  }

  // Proves B50.
  @Test
  void aBodyThatNeverEndsLeavesTheStatus() throws Exception {
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) -> {
                  connection.write("HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\ntoo many");
                  connection.awaitEnd();
                });
        ScoringClient client = OneAttempt.create(server.uri("/score"), null)) {
      // The time is generous: within it the status must arrive.
      ServiceException error =
          assertThrows(ServiceException.class, () -> client.score(ROWS, Duration.ofMillis(1_500)));
      assertEquals(503, error.status());
      server.awaitEndOfConnection();
    }
  }
}
