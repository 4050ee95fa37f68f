package azureml.scoring;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import azureml.scoring.ScoringClient.TransportException;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.TrustManagerFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * TLS: B17, B18, B41. The certificates are made with the JDK's keytool, for {@code localhost} only.
 */
class TlsTest {
  private static final double[][] ROWS = {{1.5}};
  private static final String LOCALHOST = "san=dns:localhost";
  private static final char[] PASSWORD = "changeit".toCharArray();
  private static SSLContext valid;
  private static SSLContext expired;
  private static String caPem; // of the CA
  private static String otherPem; // of a certificate that signed nothing here
  private SSLContext before;

  @BeforeAll
  static void makeCertificates(@TempDir Path folder) throws Exception {
    Path file = folder.resolve("keys.p12");
    keytool(file, "ca", "CN=Test CA", "-ext", "bc:c", "-validity", "2");
    keytool(file, "valid", "CN=localhost", "-ext", LOCALHOST, "-validity", "2", "-signer", "ca");
    String[] past = {"-ext", LOCALHOST, "-startdate", "-10d", "-validity", "5", "-signer", "ca"};
    keytool(file, "expired", "CN=localhost", past);
    KeyStore store = KeyStore.getInstance("PKCS12");
    try (InputStream in = Files.newInputStream(file)) {
      store.load(in, PASSWORD);
    }
    valid = context(store, "valid");
    expired = context(store, "expired");
    caPem = pem(store.getCertificate("ca"));
    otherPem = pem(store.getCertificate("expired"));
  }

  private static String pem(Certificate certificate) throws Exception {
    String base64 =
        Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(certificate.getEncoded());
    return "-----BEGIN CERTIFICATE-----\n" + base64 + "\n-----END CERTIFICATE-----\n";
  }

  private static void keytool(Path file, String alias, String name, String... more)
      throws Exception {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "keytool").toString());
    command.add("-J-XX:TieredStopAtLevel=1"); // starts faster
    command.addAll(List.of("-genkeypair", "-alias", alias, "-dname", name, "-keyalg", "EC"));
    command.addAll(List.of("-keystore", file.toString(), "-storepass", new String(PASSWORD)));
    command.addAll(List.of(more));
    Process keytool = new ProcessBuilder(command).redirectErrorStream(true).start();
    String said = new String(keytool.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, keytool.waitFor(), said);
  }

  /** A server's key and certificate, and trust in the CA. */
  private static SSLContext context(KeyStore store, String alias) throws Exception {
    KeyStore own = KeyStore.getInstance("PKCS12");
    own.load(null, null);
    own.setKeyEntry(
        alias, store.getKey(alias, PASSWORD), PASSWORD, store.getCertificateChain(alias));
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(own, PASSWORD);
    KeyStore trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    trusted.setCertificateEntry("ca", store.getCertificate("ca"));
    TrustManagerFactory trust =
        TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(trusted);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    return context;
  }

  @BeforeEach
  void rememberTrust() throws Exception {
    before = SSLContext.getDefault();
  }

  @AfterEach
  void restoreTrust() {
    SSLContext.setDefault(before);
  }

  private static ScriptedServer server(SSLContext context, String... protocols) throws IOException {
    SSLServerSocket listener =
        (SSLServerSocket)
            context
                .getServerSocketFactory()
                .createServerSocket(0, 50, InetAddress.getLoopbackAddress());
    if (protocols.length > 0) {
      listener.setEnabledProtocols(protocols);
    }
    byte[] reply = ScriptedServer.reply("200 OK", "[2.5]".getBytes(StandardCharsets.UTF_8));
    return new ScriptedServer(listener, (request, connection) -> connection.write(reply));
  }

  private static ScoringClient client(String host, int port) {
    return OneAttempt.create("https://" + host + ":" + port + "/score", "hunter2");
  }

  private static void assertRefused(String host, ScriptedServer server) {
    try (ScoringClient client = client(host, server.port())) {
      TransportException refusal = assertThrows(TransportException.class, () -> client.score(ROWS));
      assertFalse(refusal.timedOut());
      assertTrue(refusal.getMessage().contains("/score: TLS failed: "), refusal.getMessage());
      assertTrue(refusal.getCause() instanceof SSLException, refusal.toString());
    }
    assertEquals(List.of(), server.requests());
  }

  // Proves B17, B18.
  @ParameterizedTest
  @ValueSource(strings = {"TLSv1.2", "TLSv1.3"})
  void aTrustedServerOfEitherVersionWorks(String protocol) throws Exception {
    SSLContext.setDefault(valid);
    try (ScriptedServer server = server(valid, protocol);
        ScoringClient client = client("localhost", server.port())) {
      assertArrayEquals(new double[] {2.5}, client.score(ROWS));
      assertArrayEquals(new double[] {2.5}, client.score(ROWS));
      assertEquals(1, server.connections());
      assertEquals("POST /score HTTP/1.1", server.requests().get(0).line());
      assertEquals(List.of("Bearer hunter2"), server.requests().get(0).header("Authorization"));
    }
  }

  private static ScoringClient trusting(String pem, Path folder, ScriptedServer server)
      throws IOException {
    Path file = Files.writeString(folder.resolve("ca.pem"), pem);
    return OneAttempt.builder("https://localhost:" + server.port() + "/score").caFile(file).build();
  }

  // Proves B02, B18.
  @Test
  void theCertificatesOfAFileAreTrustedInPlaceOfTheJvms(@TempDir Path folder) throws Exception {
    String several = "\uFEFF# comment\r\n" + otherPem + "between\n" + caPem.replace("\n", "\r\n");
    try (ScriptedServer server = server(valid)) {
      for (String pem : List.of(caPem, several)) {
        try (ScoringClient client = trusting(pem, folder, server)) {
          assertArrayEquals(new double[] {2.5}, client.score(ROWS));
        }
      }
      SSLContext.setDefault(valid); // the JVM trusts the CA now, the file still does not
      int before = server.requests().size();
      try (ScoringClient client = trusting(otherPem, folder, server)) {
        TransportException refusal =
            assertThrows(TransportException.class, () -> client.score(ROWS));
        assertTrue(refusal.getMessage().contains("/score: TLS failed: "), refusal.getMessage());
      }
      assertEquals(before, server.requests().size());
    }
  }

  // Proves B18.
  @Test
  void aCaFileDoesNotLoosenTheHostName(@TempDir Path folder) throws Exception {
    Path file = Files.writeString(folder.resolve("ca.pem"), caPem);
    try (ScriptedServer server = server(valid);
        ScoringClient client =
            OneAttempt.builder("https://127.0.0.1:" + server.port() + "/score")
                .caFile(file)
                .build()) {
      TransportException refusal = assertThrows(TransportException.class, () -> client.score(ROWS));
      assertTrue(refusal.getMessage().contains("/score: TLS failed: "), refusal.getMessage());
      assertEquals(List.of(), server.requests());
    }
  }

  // Proves B02.
  @Test
  void aCaFileThatIsNotWholeIsRefused(@TempDir Path folder) throws Exception {
    String cut = caPem.substring(0, caPem.length() / 2);
    String garbled = caPem.replaceFirst("(?m)^M.*$", "????");
    for (String pem : List.of(cut, caPem + cut, garbled, caPem + garbled)) {
      Path file = Files.writeString(folder.resolve("ca.pem"), pem);
      ScoringClient.Builder builder = ScoringClient.builder("https://host/score").caFile(file);
      String message =
          assertThrows(IllegalArgumentException.class, builder::build, pem).getMessage();
      assertTrue(message.startsWith("the CA file cannot be read: "), message);
    }
    for (String pem : List.of("", "text\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n", "\0\1\2")) {
      Path file = Files.writeString(folder.resolve("ca.pem"), pem);
      ScoringClient.Builder builder = ScoringClient.builder("https://host/score").caFile(file);
      assertEquals(
          "the CA file holds no certificate",
          assertThrows(IllegalArgumentException.class, builder::build).getMessage());
    }
  }

  // Proves B41.
  @Test
  void anUnknownCertificateIsRefused() throws Exception {
    try (ScriptedServer server = server(valid)) {
      assertRefused("localhost", server);
    }
  }

  // Proves B18, B41.
  @Test
  void aCertificateForAnotherHostIsRefused() throws Exception {
    SSLContext.setDefault(valid);
    try (ScriptedServer server = server(valid)) {
      assertRefused("127.0.0.1", server);
    }
  }

  // Proves B18, B41.
  @Test
  void anExpiredCertificateIsRefused() throws Exception {
    SSLContext.setDefault(expired);
    try (ScriptedServer server = server(expired)) {
      assertRefused("localhost", server);
    }
  }

  // Proves B18, B41.
  @Test
  void versionsBefore12AreRefusedEvenWhereTheJvmAllowsThem() throws Exception {
    SSLContext.setDefault(valid);
    try (ScriptedServer server = server(valid, "TLSv1.1")) {
      assertRefused("localhost", server);

      // the control: this JVM and this server do speak TLS 1.1
      SSLParameters old = new SSLParameters();
      old.setProtocols(new String[] {"TLSv1.1"});
      HttpClient http = HttpClient.newBuilder().sslParameters(old).build();
      URI uri = URI.create("https://localhost:" + server.port() + "/score");
      assertEquals(
          200,
          http.send(HttpRequest.newBuilder(uri).build(), BodyHandlers.discarding()).statusCode());
    }
  }

  // Proves B41.
  @Test
  void aServerWithoutTlsIsRefused() throws Exception {
    try (ServerSocket listener = ScriptedServer.listen();
        ScoringClient client = client("localhost", listener.getLocalPort())) {
      CompletableFuture<Void> server =
          CompletableFuture.runAsync(
              () -> {
                try (Socket socket = listener.accept()) {
                  socket
                      .getOutputStream()
                      .write("HTTP/1.1 400 No\r\n\r\n".getBytes(StandardCharsets.UTF_8));
                  socket.getInputStream().readAllBytes(); // until the client gives up
                } catch (IOException reset) {
                  // it did
                }
              });
      TransportException refusal = assertThrows(TransportException.class, () -> client.score(ROWS));
      assertFalse(refusal.timedOut());
      assertTrue(refusal.getMessage().contains("/score: TLS failed: "), refusal.getMessage());
      server.get();
    }
  }

  // Proves B40.
  @Test
  void aServerThatEndsTheHandshakeIsAnInterruptedConnectionAndNoRefusal() throws Exception {
    try (ServerSocket listener = ScriptedServer.listen();
        ScoringClient client = client("localhost", listener.getLocalPort())) {
      CompletableFuture<Void> server =
          CompletableFuture.runAsync(
              () -> {
                try (Socket socket = listener.accept()) {
                  socket.shutdownOutput();
                  socket.getInputStream().readAllBytes(); // or the close would be a reset
                } catch (IOException reset) {
                  // the client has given up
                }
              });
      TransportException failure = assertThrows(TransportException.class, () -> client.score(ROWS));
      assertFalse(failure.timedOut());
      assertTrue(
          failure.getMessage().endsWith("/score: the connection was closed inside TLS (1 attempt)"),
          failure.getMessage());
      server.get();
    }
  }
}
