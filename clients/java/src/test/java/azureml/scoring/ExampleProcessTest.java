package azureml.scoring;

import static azureml.scoring.ScriptedServer.reply;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Files;
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

/**
 * The example of real life in a process of its own. One test runs {@code java Example.java} as a
 * reader does, the others a class that was compiled once.
 */
@Execution(ExecutionMode.CONCURRENT)
class ExampleProcessTest {
  private static final Path IMAGE = Path.of("../test-vectors/digit.pgm");

  private static final String LIBRARIES = System.getProperty("java.class.path");

  @TempDir private static Path classes;

  private static Program.Run example(String classPath, String program, Map<String, String> env)
      throws Exception {
    return Program.run(env, List.of("-cp", classPath, program, IMAGE.toString()));
  }

  @BeforeAll
  static void compile() {
    JavaCompiler javac = ToolProvider.getSystemJavaCompiler();
    String[] arguments = {"-cp", LIBRARIES, "-d", classes.toString(), "Example.java"};
    assertEquals(0, javac.run(null, null, null, arguments));
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
              LIBRARIES,
              "Example.java",
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
    String classPath = classes + File.pathSeparator + LIBRARIES;
    assertEquals(
        new Program.Run(2, "", "SCORING_TOKEN_FILE is not set\n"),
        example(classPath, "Example", Map.of("SCORING_URI", "http://127.0.0.1:9/score")));
    Map<String, String> noFile =
        Map.of("SCORING_URI", "http://127.0.0.1:9/score", "SCORING_TOKEN_FILE", "no-such-file");
    assertEquals(
        new Program.Run(1, "", "the token file cannot be read: no such file\n"),
        example(classPath, "Example", noFile));
  }
}
