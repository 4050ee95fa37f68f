package azureml.scoring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import azureml.scoring.Program.Run;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.net.Socket;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The quickstart in a process of its own. One test runs {@code java Quickstart.java} as a reader
 * does, the others a class that was compiled once, which takes half the time.
 */
@Execution(ExecutionMode.CONCURRENT)
class QuickstartTest {
  private static final String KEY = "hunter2";
  private static final String PREDICTIONS = "[217.67978776218715, 224.78937091757172]";

  @TempDir private static Path classes;

  @BeforeAll
  static void compile() {
    JavaCompiler javac = ToolProvider.getSystemJavaCompiler();
    assertEquals(0, javac.run(null, null, null, "-d", classes.toString(), "Quickstart.java"));
  }

  private static Run quickstart(Map<String, String> environment) throws Exception {
    return run(environment, "-cp", classes.toString(), "Quickstart");
  }

  private static Run run(Map<String, String> environment, String... program) throws Exception {
    Run run = Program.run(environment, List.of(program));
    assertFalse(run.toString().contains(KEY), run.toString());
    return run;
  }

  private static Run quickstart(ScriptedServer server) throws Exception {
    return quickstart(environment(server));
  }

  private static Map<String, String> environment(ScriptedServer server) {
    return Map.of("SCORING_URI", server.uri("/score?code=1"), "SCORING_KEY", KEY);
  }

  @Test
  void printsThePredictionsOfTheTwoRows() throws Exception {
    try (ScriptedServer server =
        ScriptedServer.replying("200 OK", PREDICTIONS.replace(" ", "\n  ") + "\n")) {
      assertEquals(new Run(0, PREDICTIONS + "\n", ""), run(environment(server), "Quickstart.java"));

      ScriptedServer.Request request = server.onlyRequest();
      assertEquals("POST /score?code=1 HTTP/1.1", request.line());
      assertEquals(List.of("application/json"), request.header("Content-Type"));
      assertEquals(List.of("Bearer " + KEY), request.header("Authorization"));
      assertEquals(List.of(), request.header("Upgrade"));
      JsonNode data = new JsonMapper().readTree(request.body()).get("data");
      assertEquals(2, data.size());
      assertEquals(10, data.get(0).size());
      assertEquals(10, data.get(1).size());
      assertEquals(0.0199132141783263, data.get(0).get(0).doubleValue());
      assertEquals(0.00720651632920303, data.get(1).get(9).doubleValue());
    }
  }

  @Test
  void needsNoKey() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", PREDICTIONS)) {
      assertEquals(
          new Run(0, PREDICTIONS + "\n", ""),
          quickstart(Map.of("SCORING_URI", server.uri("/score"), "SCORING_KEY", "")));
      assertEquals(List.of(), server.onlyRequest().header("Authorization"));
    }
  }

  @Test
  void showsTheStatusAndTheMessageButNotTheKey() throws Exception {
    try (ScriptedServer server =
        ScriptedServer.replying("401 Unauthorized", "{\"message\":\n \"no key " + KEY + "\"}")) {
      assertEquals(new Run(1, "", "401: {\"message\": \"no key ***\"}\n"), quickstart(server));
    }
  }

  @Test
  void followsNoRedirect() throws Exception {
    try (ScriptedServer other = ScriptedServer.replying("200 OK", PREDICTIONS);
        ScriptedServer server =
            ScriptedServer.replying("307 Moved\nLocation: " + other.uri("/score"), "")) {
      assertEquals(new Run(1, "", "307: \n"), quickstart(server));
      assertEquals(0, other.connections());
    }
  }

  @Test
  void takesNothingButAnArray() throws Exception {
    try (ScriptedServer server = ScriptedServer.replying("200 OK", "{\"error\": \"no\"}")) {
      assertEquals(
          new Run(1, "", "the reply is not a JSON array: {\"error\": \"no\"}\n"),
          quickstart(server));
    }
  }

  @Test
  void saysWhenNobodyListens() throws Exception {
    try (Socket nobody = ScriptedServer.silentPort()) {
      String address = "127.0.0.1:" + nobody.getLocalPort();
      String uri = "http://" + address + "/score";
      Run run = quickstart(Map.of("SCORING_URI", uri, "SCORING_KEY", KEY));
      assertEquals(1, run.status());
      assertTrue(run.err().matches("cannot reach " + address + ": [^\n]+\n"), run.err());
    }
  }

  @Test
  void limitsTheWholeCall() throws Exception {
    try (ScriptedServer server =
        new ScriptedServer(
            (request, connection) -> {
              connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1.5");
              connection.awaitEnd();
            })) {
      Run run = quickstart(Map.of("SCORING_URI", server.uri("/score"), "SCORING_TIMEOUT", "0.5"));
      assertEquals(new Run(1, "", "no complete reply within 0.5 s\n"), run);
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "SCORING_URI     | ``                 | SCORING_URI must be set to an absolute http or https URI",
        "SCORING_URI     | http://h/a b       | SCORING_URI must be set to an absolute http or https URI",
        "SCORING_KEY     | `hunter3\n`        | SCORING_KEY has a character that cannot be sent in a header at position 7 (a trailing newline?)",
        "SCORING_TIMEOUT | 0                  | SCORING_TIMEOUT must be a number of seconds from 0.001 to 86400"
      })
  void refusesAWrongEnvironment(String name, String value, String message) throws Exception {
    Map<String, String> environment =
        new java.util.HashMap<>(Map.of("SCORING_URI", "http://127.0.0.1:9/score"));
    environment.put(name, value);
    assertEquals(new Run(2, "", message + "\n"), quickstart(environment));
  }
}
