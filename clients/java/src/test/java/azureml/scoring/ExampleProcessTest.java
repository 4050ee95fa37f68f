package azureml.scoring;

import static azureml.scoring.ScriptedServer.reply;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** The example of real life as a reader runs it, in a process of its own. */
@Execution(ExecutionMode.CONCURRENT)
class ExampleProcessTest {
  private static final Path IMAGE = Path.of("../test-vectors/digit.pgm");

  private static Program.Run example(Map<String, String> environment) throws Exception {
    return Program.run(
        environment,
        List.of("-cp", System.getProperty("java.class.path"), "Example.java", IMAGE.toString()));
  }

  @Test
  void sendsTheImageWithTheTokenOfTheFileAndLogsTheWait(@TempDir Path folder) throws Exception {
    Path token = Files.writeString(folder.resolve("token"), "T1\n");
    try (ScriptedServer server =
        ScriptedServer.replying(
            reply("503 Busy\nretry-after-ms: 1", "no T1 left"),
            reply("200 OK", "{\"digit\":\n7}\n"))) {
      Program.Run run =
          example(
              Map.of("SCORING_URI", server.uri("/score"), "SCORING_TOKEN_FILE", token.toString()));
      assertEquals(0, run.status(), run.err());
      assertEquals("{\"digit\": 7}\n", run.out());
      assertTrue(
          run.err().matches("WARNING example: attempt 1: 503: no \\*\\*\\* left; next in .* s\n"),
          run.err());
      ScriptedServer.Request request = server.requests().get(1);
      assertArrayEquals(Files.readAllBytes(IMAGE), request.body());
      assertEquals(List.of("image/x-portable-graymap"), request.header("Content-Type"));
      assertEquals(List.of("Bearer T1"), request.header("Authorization"));
    }
  }

  @Test
  void saysWhatIsMissing() throws Exception {
    assertEquals(
        new Program.Run(2, "", "SCORING_TOKEN_FILE is not set\n"),
        example(Map.of("SCORING_URI", "http://127.0.0.1:9/score")));
    Map<String, String> noFile =
        Map.of("SCORING_URI", "http://127.0.0.1:9/score", "SCORING_TOKEN_FILE", "no-such-file");
    assertEquals(
        new Program.Run(1, "", "the token file cannot be read: no such file\n"), example(noFile));
  }
}
