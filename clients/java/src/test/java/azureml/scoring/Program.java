package azureml.scoring;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** A program in a JVM of its own, as a reader runs it. */
final class Program {
  /** What a program came to. */
  record Run(int status, String out, String err) {}

  private Program() {}

  /** Runs it to its end, without the JVM's and our own variables of this process. */
  static Run run(Map<String, String> environment, List<String> arguments) throws Exception {
    String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
    // the options start the JVM faster and change nothing else
    ProcessBuilder builder =
        new ProcessBuilder(java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC");
    builder.command().addAll(arguments);
    builder
        .environment()
        .keySet()
        .removeIf(
            name -> name.startsWith("SCORING_") || name.contains("JAVA") || name.contains("JDK"));
    builder.environment().putAll(environment);
    Process process = builder.start();
    process.getOutputStream().close();
    // Both texts are short, so neither pipe fills up while the other is read.
    String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    String err = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
    return new Run(process.waitFor(), out, err);
  }
}
