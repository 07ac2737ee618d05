// SPDX-License-Identifier: Apache-2.0
// Threads, sockets, a child process, interfaces, files and the garbage collector.
import java.io.IOException;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public class Check {
    public static void main(String[] arguments) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Integer>> futures = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            final int k = i;
            futures.add(pool.submit(() -> k * k));
        }
        int sum = 0;
        for (Future<Integer> f : futures)
            sum += f.get();
        pool.shutdown();
        System.out.println("sum " + sum);
        ServerSocket server = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
        Thread echo = new Thread(() -> {
            try (Socket c = server.accept()) {
                c.getInputStream().transferTo(c.getOutputStream());
            } catch (IOException e) {
                e.printStackTrace();
            }
        });
        echo.start();
        Socket client = new Socket(InetAddress.getLoopbackAddress(), server.getLocalPort());
        client.getOutputStream().write("hello".getBytes());
        client.shutdownOutput();
        System.out.println(new String(client.getInputStream().readAllBytes()));
        echo.join();
        Process child = new ProcessBuilder("sh", "-c", "echo from the child; exit 2").start();
        System.out.print(new String(child.getInputStream().readAllBytes()));
        System.out.println(child.waitFor());
        for (NetworkInterface n : Collections.list(NetworkInterface.getNetworkInterfaces()))
            if (n.isLoopback())
                System.out.println(n.getName());
        byte[][] garbage = new byte[200][];
        for (int i = 0; i < 2000; i++)
            garbage[i % 200] = new byte[100000];
        System.gc();
        System.out.println(Files.readAllLines(Path.of("/etc/debian_version")));
        System.exit(5);
    }
}
