package azureml.scoring;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A server on loopback that keeps the requests it gets, byte for byte, and plays the same script on
 * each: it writes what it is told, also what no HTTP server would.
 */
final class ScriptedServer implements AutoCloseable {

  /** What the server does after a request is read. */
  interface Script {
    void play(Request request, Connection connection) throws IOException;
  }

  /** A request as it came; header names and values as they were spelled. */
  @SuppressWarnings("ArrayRecordComponent") // nobody compares two
  record Request(int connection, String line, List<String> headers, byte[] body) {
    List<String> header(String name) {
      return headers.stream()
          .filter(header -> header.regionMatches(true, 0, name + ":", 0, name.length() + 1))
          .map(header -> header.substring(name.length() + 1).strip())
          .toList();
    }

    String text() {
      return new String(body, StandardCharsets.UTF_8);
    }
  }

  /** One connection, as a script sees it. */
  static final class Connection {
    private final Socket socket;
    private final InputStream in;
    private final OutputStream out;

    private Connection(Socket socket) throws IOException {
      this.socket = socket;
      in = new BufferedInputStream(socket.getInputStream());
      out = socket.getOutputStream();
    }

    void write(String text) throws IOException {
      write(text.getBytes(StandardCharsets.UTF_8));
    }

    void write(byte[] bytes) throws IOException {
      out.write(bytes);
      out.flush();
    }

    /** Ends the connection in order. */
    void close() throws IOException {
      socket.close();
    }

    /** Ends the connection with a reset. */
    void reset() throws IOException {
      socket.setSoLinger(true, 0);
      socket.close();
    }

    /** Waits until the client ends the connection. */
    void awaitEnd() {
      try {
        while (in.read() >= 0) {
          // what else it sends does not matter
        }
      } catch (IOException reset) {
        // an end as well
      }
    }
  }

  private final ServerSocket listener;
  private final Script script;
  private final Set<Socket> open = ConcurrentHashMap.newKeySet();
  private final BlockingQueue<Request> arrived = new LinkedBlockingQueue<>();
  private final List<Request> requests = new ArrayList<>();
  private final AtomicInteger connections = new AtomicInteger();
  private final CountDownLatch firstEnd = new CountDownLatch(1);

  ScriptedServer(Script script) {
    this(listen(), script);
  }

  ScriptedServer(ServerSocket listener, Script script) {
    this.listener = listener;
    this.script = script;
    start(this::accept);
  }

  /** A server that answers every request with one reply. */
  static ScriptedServer replying(String statusAndHeaders, String body) {
    return replying(statusAndHeaders, body.getBytes(StandardCharsets.UTF_8));
  }

  static ScriptedServer replying(String statusAndHeaders, byte[] body) {
    return new ScriptedServer(
        (request, connection) -> connection.write(reply(statusAndHeaders, body)));
  }

  /** A server that gives these replies one after the other, and then the last one again. */
  static ScriptedServer replying(byte[]... replies) {
    AtomicInteger next = new AtomicInteger();
    return new ScriptedServer(
        (request, connection) ->
            connection.write(replies[Math.min(next.getAndIncrement(), replies.length - 1)]));
  }

  static byte[] reply(String statusAndHeaders, String body) {
    return reply(statusAndHeaders, body.getBytes(StandardCharsets.UTF_8));
  }

  /** The bytes of a reply: {@code "200 OK\nName: value"} and a body, with its Content-Length. */
  static byte[] reply(String statusAndHeaders, byte[] body) {
    String head =
        "HTTP/1.1 "
            + statusAndHeaders.replace("\n", "\r\n")
            + "\r\nContent-Length: "
            + body.length
            + "\r\n\r\n";
    ByteArrayOutputStream reply = new ByteArrayOutputStream();
    reply.writeBytes(head.getBytes(StandardCharsets.UTF_8));
    reply.writeBytes(body);
    return reply.toByteArray();
  }

  /** The URI of a path on this server. */
  String uri(String path) {
    return "http://127.0.0.1:" + port() + path;
  }

  int port() {
    return listener.getLocalPort();
  }

  /** Waits for the next request. */
  Request take() throws InterruptedException {
    return arrived.take();
  }

  /** The requests so far. */
  List<Request> requests() {
    synchronized (requests) {
      return List.copyOf(requests);
    }
  }

  /** The only request so far. */
  Request onlyRequest() {
    List<Request> all = requests();
    if (all.size() != 1) {
      throw new AssertionError("expected one request, got " + all);
    }
    return all.get(0);
  }

  int connections() {
    return connections.get();
  }

  /** The connections that neither side has ended. */
  int openConnections() {
    return open.size();
  }

  /** Waits until a connection has ended, from whichever side. */
  void awaitEndOfConnection() throws InterruptedException {
    firstEnd.await();
  }

  @Override
  public void close() throws IOException {
    listener.close();
    for (Socket socket : open) {
      socket.close();
    }
  }

  /** A listener on a free port of loopback. */
  static ServerSocket listen() {
    try {
      return new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  /** A port that is taken, so that nobody else gets it, and on which nobody listens. */
  static Socket silentPort() throws IOException {
    Socket socket = new Socket();
    socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
    return socket;
  }

  private static void start(Runnable work) {
    Thread thread = new Thread(work, "scripted-server");
    thread.setDaemon(true);
    thread.start();
  }

  private void accept() {
    try {
      while (true) {
        Socket socket = listener.accept();
        open.add(socket);
        int number = connections.incrementAndGet();
        start(() -> serve(socket, number));
      }
    } catch (IOException closed) {
      // the end of the test
    }
  }

  private void serve(Socket socket, int number) {
    try (socket) {
      Connection connection = new Connection(socket);
      for (Request request = read(connection.in, number);
          request != null;
          request = read(connection.in, number)) {
        synchronized (requests) {
          requests.add(request);
        }
        arrived.add(request);
        script.play(request, connection);
      }
    } catch (IOException ended) {
      // by the script, or by a client that gave up
    } finally {
      open.remove(socket);
      firstEnd.countDown();
    }
  }

  private static Request read(InputStream in, int connection) throws IOException {
    String line = readLine(in);
    if (line == null) {
      return null;
    }
    List<String> headers = new ArrayList<>();
    int length = 0;
    for (String header = readLine(in); header != null && !header.isEmpty(); header = readLine(in)) {
      headers.add(header);
      if (header.toLowerCase(java.util.Locale.ROOT).startsWith("content-length:")) {
        length = Integer.parseInt(header.substring("content-length:".length()).strip());
      }
    }
    return new Request(connection, line, List.copyOf(headers), in.readNBytes(length));
  }

  private static String readLine(InputStream in) throws IOException {
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    for (int octet = in.read(); octet != '\n'; octet = in.read()) {
      if (octet < 0) {
        return null;
      }
      line.write(octet);
    }
    return line.toString(StandardCharsets.ISO_8859_1).stripTrailing();
  }
}
