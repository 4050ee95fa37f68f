package azureml.scoring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import azureml.scoring.ScoringClient.ReplyException;
import azureml.scoring.ScoringClient.ScoringException;
import azureml.scoring.ScoringClient.ServiceException;
import azureml.scoring.ScoringClient.TransportException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The key goes into one header and nowhere else, also when a server echoes it: B21. */
class SecretsTest {
  private static final String KEY = "hunter2/Zm9v+YmFy==";
  private static final double[][] ROWS = {{1.5}};

  private static ScoringException failure(ScriptedServer.Script script) throws Exception {
    try (ScriptedServer server = new ScriptedServer(script);
        ScoringClient client = OneAttempt.create(server.uri("/score"), KEY)) {
      ScoringException failure = assertThrows(ScoringException.class, () -> client.score(ROWS));
      StringWriter log = new StringWriter();
      failure.printStackTrace(new PrintWriter(log, true));
      assertFalse(log.toString().contains("hunter2"), log.toString());
      assertEquals(
          java.util.List.of("Bearer " + KEY), server.onlyRequest().header("Authorization"));
      return failure;
    }
  }

  private static ScoringException failure(String statusAndHeaders, String body) throws Exception {
    byte[] reply = ScriptedServer.reply(statusAndHeaders, body.getBytes(StandardCharsets.UTF_8));
    return failure((request, connection) -> connection.write(reply));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"message\": \"no such key: " + KEY + "\"}",
        "{\"error\": {\"message\": \"" + KEY + " " + KEY + "\"}}",
        "Authorization: Bearer " + KEY,
        "<html><title>" + KEY + "</title>"
      })
  // Proves B21.
  void anErrorThatEchoesTheKeyIsShownWithoutIt(String body) throws Exception {
    ServiceException failure = (ServiceException) failure("403 Forbidden", body);
    assertTrue(failure.getMessage().contains("***"), failure.getMessage());
    assertTrue(failure.serviceMessage().contains("***"), failure.serviceMessage());
    assertFalse(failure.serviceMessage().contains(KEY));
  }

  // Proves B21.
  @ParameterizedTest
  @ValueSource(strings = {"hunter2\\/Zm9v+YmFy==", "\\u0068unter2/Zm9v\\u002BYmFy=="})
  void aReplyThatSpellsTheKeyWithJsonEscapesIsShownWithoutIt(String spelled) throws Exception {
    ReplyException failure = (ReplyException) failure("200 OK", "{\"got\": \"" + spelled + "\"}");
    assertEquals("{\"got\": \"***\"}", failure.excerpt());
  }

  // Proves B21.
  @Test
  void headersThatEchoTheKeyAreShownWithoutIt() throws Exception {
    ServiceException failure =
        (ServiceException)
            failure(
                "403 Forbidden\nx-request-id: " + KEY + "\nms-azureml-model-error-reason: " + KEY,
                "");
    assertEquals("***", failure.requestId().orElseThrow());
    assertEquals("***", failure.modelReason().orElseThrow());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        KEY,
        "\"" + KEY + "\"",
        "{\"error\": \"" + KEY + "\"}",
        "[\"" + KEY + "\"]",
        "[1.5] " + KEY
      })
  // Proves B21.
  void aReplyThatEchoesTheKeyIsShownWithoutIt(String body) throws Exception {
    ReplyException failure = (ReplyException) failure("200 OK", body);
    assertTrue(failure.excerpt().contains("***"), failure.excerpt());
    assertFalse(failure.excerpt().contains(KEY));
    assertFalse(failure.reason().contains(KEY));
  }

  @Test
  void anEncodingThatEchoesTheKeyIsShownWithoutIt() throws Exception {
    ReplyException failure = (ReplyException) failure("200 OK\nContent-Encoding: " + KEY, "[1.5]");
    assertEquals("the reply has Content-Encoding: ***, which was not asked for", failure.reason());
  }

  // Proves B21.
  @Test
  void aKeyIsHiddenBeforeATextIsCut() throws Exception {
    for (int before = 290; before <= 300; before++) {
      failure("403 Forbidden", "x".repeat(before) + KEY);
      failure("200 OK", "x".repeat(before) + KEY);
    }
    for (int before = 1_190; before <= 1_200; before++) { // where the bytes of an excerpt end
      failure("200 OK", "\u0000".repeat(before) + KEY);
    }
  }

  @Test
  void theBeginningOfAKeyAtTheEndOfACutBodyIsHidden() throws Exception {
    String body = "x".repeat(64 * 1024 - 7) + KEY;
    ServiceException failure = (ServiceException) failure("403 Forbidden", body);
    assertTrue(failure.serviceMessage().endsWith("x***"));
  }

  // Proves B21.
  @Test
  void aReplyThatIsNoHttpAndEchoesTheKeyIsShownWithoutIt() throws Exception {
    TransportException failure =
        (TransportException)
            failure(
                (request, connection) -> {
                  connection.write("HTTP/1.1 " + KEY + "\r\n\r\n");
                  connection.close();
                });
    assertNull(failure.getCause(), "the platform's exception quotes the line");
  }

  // Proves B21.
  @Test
  void aPathThatHoldsTheKeyIsShownWithoutIt() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("404 Not Found", "");
        ScoringClient client =
            OneAttempt.create(server.uri("/" + KEY + "/score?code=" + KEY), KEY)) {
      ScoringException failure = assertThrows(ScoringException.class, () -> client.score(ROWS));
      assertTrue(
          failure.getMessage().endsWith("/***/score: 404 (1 attempt)"), failure.getMessage());
    }
  }

  @Test
  @SuppressWarnings("ObjectToString") // that it has none is what is tested
  void aBuilderDoesNotShowTheKey() {
    assertFalse(OneAttempt.builder("https://host/score").key(KEY).toString().contains("hunter2"));
  }
}
