package scenario

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/contender"
	"github.com/kedacore/http-add-on/tests/bench/role"
)

// ClosedIdle is what clients saw of a backend that closes idle connections.
type ClosedIdle struct {
	// Posts that were sent, how many were answered with 502, and how many failed in
	// another way (Err is one of them).
	Posts, BadGateway, Other int64
	Err                      error
}

// PostWhileBackendCloses sends POST requests in bursts. Their distance is about the time after
// which the backend closes an idle connection, so that many meet a connection that is just
// closing. All contenders are measured at the same time, because the load is small.
func PostWhileBackendCloses(all []*contender.Contender, clients, bursts int) (map[string]ClosedIdle, error) {
	results := make(map[string]ClosedIdle)
	var mu sync.Mutex
	var running sync.WaitGroup
	for _, c := range all {
		address, host, ok := c.Port(contender.Closing)
		if !ok {
			return nil, fmt.Errorf("%s has no port for it", c.Name)
		}
		running.Go(func() {
			r := postBursts(address, host, clients, bursts)
			mu.Lock()
			defer mu.Unlock()
			results[c.Name] = r
		})
	}
	running.Wait()
	return results, nil
}

func postBursts(address, host string, clients, bursts int) ClosedIdle {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	var result ClosedIdle
	var mu sync.Mutex
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := range bursts {
		<-timer.C
		// From 10 ms before the backend's timer to 10 ms after it.
		spread := 20 * time.Millisecond * time.Duration(n) / time.Duration(bursts)
		timer.Reset(role.ClosingIdle - 10*time.Millisecond + spread)
		var burst sync.WaitGroup
		for range clients {
			burst.Go(func() {
				status, err := post(client, address, host)
				mu.Lock()
				defer mu.Unlock()
				result.Posts++
				switch {
				case err != nil:
					result.Other, result.Err = result.Other+1, err
				case status == http.StatusBadGateway:
					result.BadGateway++
				case status != http.StatusOK:
					result.Other, result.Err = result.Other+1, fmt.Errorf("status %d", status)
				}
			})
		}
		burst.Wait()
	}
	return result
}

func post(client *http.Client, address, host string) (status int, err error) {
	r, err := http.NewRequest(http.MethodPost, "http://"+address+"/b/2", bytes.NewReader(make([]byte, 1024)))
	if err != nil {
		return 0, err
	}
	r.Host = host
	response, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}
