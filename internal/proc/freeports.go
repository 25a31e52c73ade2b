package proc // TEMPORARY: goes when nobody calls FreePorts any more

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports that systems give to outgoing connections begin at 32768 (Linux) or higher. A program that is told its
// port binds it seconds after it was chosen, and most end when it is taken: so ours come from below, where only servers are.
const (
	firstPort = 20000
	lastPort  = 29999
)

// portTries is for ports that servers have; a machine on which so many in a row are taken has none to give.
const portTries = 1000

// FreePorts finds ports of 127.0.0.1 that nobody has now, for programs that cannot choose one themselves. Somebody may still
// take one before they do.
func FreePorts(n int) ([]string, error) {
	var ports []string
	var held []net.Listener // all at once, so that they differ
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	var taken error
	for range portTries {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			taken = err
			continue
		}
		held = append(held, l)
		if ports = append(ports, strconv.Itoa(port)); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("no free port from %d to %d: %w", firstPort, lastPort, taken)
}
