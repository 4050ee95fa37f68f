package azureml.scoring;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import azureml.scoring.ScoringClient.ReplyException;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a 2xx may say, and what it may not: B47, B50, B51, B52, B53, B54, B64. */
class ReplyTest {
  private static final double[][] TWO_ROWS = {{1.5}, {2.5}};

  private static double[] score(String statusAndHeaders, byte[] body) throws Exception {
    try (ScriptedServer server = ScriptedServer.replying(statusAndHeaders, body);
        ScoringClient client =
            ScoringClient.builder(server.uri("/score")).maxReplyBytes(1_000).build()) {
      return client.score(TWO_ROWS);
    }
  }

  private static double[] score(String body) throws Exception {
    return score("200 OK", body.getBytes(StandardCharsets.UTF_8));
  }

  private static ReplyException refusal(String statusAndHeaders, byte[] body) {
    ReplyException refusal =
        assertThrows(ReplyException.class, () -> score(statusAndHeaders, body));
    assertEquals(1, refusal.attempts());
    assertNull(refusal.getCause());
    return refusal;
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "[217.67978776218715, 224.78937091757172]",
        " \t\r\n[217.67978776218715,224.78937091757172]\n",
        "\uFEFF[21767978776218715e-14, 2247893.7091757172E-4]"
      })
  // Proves B51.
  void theNumbersAreReadBitForBit(String body) throws Exception {
    assertArrayEquals(new double[] {217.67978776218715, 224.78937091757172}, score(body), 0.0);
  }

  // Proves B51.
  @Test
  void zeroKeepsItsSign() throws Exception {
    assertArrayEquals(new double[] {-0.0, -0.0}, score("[-0, -0.0]"));
  }

  @Test
  void wholeNumbersOfAnySizeAreNumbers() throws Exception {
    assertArrayEquals(
        new double[] {42, 123456789012345680000.0}, score("[42, 123456789012345678901]"), 0.0);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "200 OK\nContent-Type: text/html",
        "200 OK\nContent-Type: application/json; charset=utf-16",
        "200 OK\nContent-Encoding: identity",
        "201 Created",
        "203 Non-Authoritative Information",
        "299 Strange"
      })
  // Proves B50, B51, B52.
  void theStatusDecidesAndTheLabelsDoNot(String statusAndHeaders) throws Exception {
    assertArrayEquals(
        new double[] {1.5, 2.5},
        score(statusAndHeaders, "[1.5, 2.5]".getBytes(StandardCharsets.UTF_8)));
  }

  // Proves B50.
  @Test
  void interimRepliesAreSkipped() throws Exception {
    byte[] last = ScriptedServer.reply("200 OK", "[1.5, 2.5]".getBytes(StandardCharsets.UTF_8));
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) -> {
                  connection.write(
                      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
                  connection.write(last);
                });
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      assertArrayEquals(new double[] {1.5, 2.5}, client.score(TWO_ROWS));
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      textBlock =
          """
          ``                                  | the reply is empty
          `  `                                | the reply is empty
          [1.5, 2.5                           | the reply is not JSON
          [1.5, 2.5] x                        | the reply is not JSON
          [1.5, 2.5][1.5, 2.5]                | the reply is not JSON
          [1.5, 2.5,]                         | the reply is not JSON
          [01.5, 2.5]                         | the reply is not JSON
          [.5, 2.5]                           | the reply is not JSON
          [+1.5, 2.5]                         | the reply is not JSON
          [0x1p3, 2.5]                        | the reply is not JSON
          ['1.5', 2.5]                        | the reply is not JSON
          // [1.5, 2.5]                       | the reply is not JSON
          <html><body>Infinity</body></html>  | the reply is not JSON
          {"result": [1.5, 2.5]}              | the reply is a JSON object, not an array
          {}                                  | the reply is a JSON object, not an array
          {"error": "no model"}               | the reply is a JSON object, not an array: no model
          {"error": {"message": "no model"}}  | the reply is a JSON object, not an array: no model
          {"error": {"message": 5}}           | the reply is a JSON object, not an array
          {"error": 5}                        | the reply is a JSON object, not an array
          "[1.5, 2.5]"                        | the reply is a JSON string, not an array; the scoring script probably calls json.dumps itself
          1.5                                 | the reply is a JSON number, not an array
          true                                | the reply is a JSON boolean, not an array
          null                                | the reply is a JSON null, not an array
          [1.5, NaN]                          | the reply contains NaN or Infinity, which is not JSON
          [Infinity, 2.5]                     | the reply contains NaN or Infinity, which is not JSON
          [1.5, -Infinity]                    | the reply contains NaN or Infinity, which is not JSON
          NaN                                 | the reply contains NaN or Infinity, which is not JSON
          {"result": [NaN]}                   | the reply contains NaN or Infinity, which is not JSON
          [1.5, 1e400]                        | element 1 of the reply is not a finite number
          [-1e400, 2.5]                       | element 0 of the reply is not a finite number
          [1.5, "2.5"]                        | element 1 of the reply is a JSON string, not a number
          [1.5, "NaN"]                        | element 1 of the reply is a JSON string, not a number
          [true, 2.5]                         | element 0 of the reply is a JSON boolean, not a number
          [1.5, null]                         | element 1 of the reply is a JSON null, not a number
          [1.5, {}]                           | element 1 of the reply is a JSON object, not a number
          [[1.5], [2.5]]                      | element 0 of the reply is a JSON array, not a number
          [1.5]                               | the reply has 1 predictions for 2 rows
          []                                  | the reply has 0 predictions for 2 rows
          [1.5, 2.5, 3.5]                     | the reply has 3 predictions for 2 rows
          """)
  // Proves B47, B51, B64.
  void whatIsNotOneNumberARowIsAReplyError(String body, String reason) {
    ReplyException refusal = refusal("200 OK", body.getBytes(StandardCharsets.UTF_8));
    assertEquals(reason, refusal.reason());
    assertEquals(body.strip(), refusal.excerpt());
    String excerpt = body.isBlank() ? "" : ": " + body;
    assertTrue(
        refusal
            .getMessage()
            .matches(
                "POST http://127\\.0\\.0\\.1:[0-9]+/score: \\Q"
                    + reason
                    + excerpt
                    + "\\E \\(1 attempt\\)"),
        refusal.getMessage());
  }

  @Test
  void aHugeFiniteIntegerIsNotFiniteAsADouble() {
    String body = "[1.5, 1" + "0".repeat(400) + "]";
    assertEquals(
        "element 1 of the reply is not a finite number",
        refusal("200 OK", body.getBytes(StandardCharsets.UTF_8)).reason());
  }

  @Test
  void anObjectThatIsMoreThanJacksonMakesATreeOfIsNoArray() throws Exception {
    String body = "{\"n\": " + "1".repeat(2_000) + "}";
    try (ScriptedServer server = ScriptedServer.replying("200 OK", body);
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      assertEquals(
          "the reply is not an array",
          assertThrows(ReplyException.class, () -> client.score(TWO_ROWS)).reason());
    }
  }

  // Proves B51.
  @Test
  void noContentIsAnEmptyReply() throws Exception {
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) -> connection.write("HTTP/1.1 204 No Content\r\n\r\n"));
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      assertEquals(
          "the reply is empty",
          assertThrows(ReplyException.class, () -> client.score(TWO_ROWS)).reason());
    }
  }

  // Proves B51, B52.
  @ParameterizedTest
  @ValueSource(strings = {"FF", "5B312E352C20322E355D20FF", "5B2263C3225D", "C080", "EDA080"})
  void invalidUtf8IsAReplyError(String hex) {
    ReplyException refusal = refusal("200 OK", java.util.HexFormat.of().parseHex(hex));
    assertEquals("the reply is not valid UTF-8", refusal.reason());
  }

  // Proves B52.
  @ParameterizedTest
  @ValueSource(strings = {"UTF-16LE", "UTF-16BE", "UTF-32BE"})
  void otherEncodingsAreNotGuessed(String charset) {
    byte[] body = "[1.5, 2.5]".getBytes(java.nio.charset.Charset.forName(charset));
    assertEquals("the reply is not JSON", refusal("200 OK", body).reason());
  }

  // Proves B52.
  @Test
  void onlyOneMarkIsSkipped() {
    assertEquals(
        "the reply is not JSON",
        refusal("200 OK", "\uFEFF\uFEFF[1.5, 2.5]".getBytes(StandardCharsets.UTF_8)).reason());
    assertEquals(
        "the reply is empty",
        refusal("200 OK", "\uFEFF".getBytes(StandardCharsets.UTF_8)).reason());
  }

  // Proves B53.
  @ParameterizedTest
  @ValueSource(strings = {"gzip", "deflate, gzip", "br"})
  void anEncodingThatWasNotAskedForIsAReplyError(String encoding) {
    ReplyException refusal =
        refusal(
            "200 OK\nContent-Encoding: " + encoding, "[1.5, 2.5]".getBytes(StandardCharsets.UTF_8));
    assertEquals(
        "the reply has Content-Encoding: " + encoding + ", which was not asked for",
        refusal.reason());
    assertEquals("", refusal.excerpt());
  }

  // Proves B54.
  @Test
  void aReplyOfTheLimitIsRead() throws Exception {
    String body = "[1.5," + " ".repeat(1_000 - 9) + "2.5]";
    assertEquals(1_000, body.length());
    assertArrayEquals(new double[] {1.5, 2.5}, score(body));
  }

  @Test
  void anySuccessMayBeLargerThanAnError() throws Exception {
    try (ScriptedServer server =
            ScriptedServer.replying("201 Created", "[1.5," + " ".repeat(100_000) + "2.5]");
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      assertArrayEquals(new double[] {1.5, 2.5}, client.score(TWO_ROWS));
    }
  }

  // Proves B47, B54.
  @Test
  void aReplyBeyondTheLimitIsAReplyError() {
    String body = "[1.5," + " ".repeat(1_000 - 8) + "2.5]";
    assertEquals(
        "the reply is larger than 1000 bytes",
        refusal("200 OK", body.getBytes(StandardCharsets.UTF_8)).reason());
  }

  // Proves B54.
  @Test
  void anEndlessReplyIsCutOff() throws Exception {
    try (ScriptedServer server =
            new ScriptedServer(
                (request, connection) -> {
                  connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                  while (true) { // until the client closes the connection
                    connection.write("a\r\n0123456789\r\n");
                  }
                });
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      try (ScoringClient small =
          ScoringClient.builder(server.uri("/score")).maxReplyBytes(100).build()) {
        ReplyException refusal = assertThrows(ReplyException.class, () -> small.score(TWO_ROWS));
        assertEquals("the reply is larger than 100 bytes", refusal.reason());
        assertEquals("0123456789".repeat(10), refusal.excerpt());
        server.awaitEndOfConnection();
      }
      assertEquals("ScoringClient(" + server.uri("/score") + ")", client.toString());
    }
  }

  // Proves B52.
  @Test
  void deepNestingIsReadOrRefusedAndCrashesNothing() throws Exception {
    String deep = "[".repeat(64) + "]".repeat(64);
    assertEquals(
        "element 0 of the reply is a JSON array, not a number",
        refusal("200 OK", deep.getBytes(StandardCharsets.UTF_8)).reason());
    byte[] deeper = "[".repeat(100_000).getBytes(StandardCharsets.UTF_8);
    try (ScriptedServer server = ScriptedServer.replying("200 OK", deeper);
        ScoringClient client = ScoringClient.create(server.uri("/score"), null)) {
      assertEquals(
          "the reply is not JSON",
          assertThrows(ReplyException.class, () -> client.score(TWO_ROWS)).reason());
    }
  }

  // Proves B64.
  @Test
  void anExcerptIsOneShortLine() {
    String excerpt =
        refusal(
                "200 OK",
                ("a\r\nb\u0000\u001b[31m\u2028\u202e" + "😀".repeat(200))
                    .getBytes(StandardCharsets.UTF_8))
            .excerpt();
    assertEquals("a  b  [31m  " + "😀".repeat(200), excerpt);
    String long_ = refusal("200 OK", "é😀".repeat(160).getBytes(StandardCharsets.UTF_8)).excerpt();
    assertEquals("é😀".repeat(149) + "é…", long_);
    String most = refusal("200 OK", "é".repeat(300).getBytes(StandardCharsets.UTF_8)).excerpt();
    assertEquals("é".repeat(300), most);
  }
}
