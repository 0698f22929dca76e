// Command load is an upstream registry and its clients for the benchmarks of the cache. Both cost so little that two
// cores can run them beside the server that is measured.
//
//	load serve FOLDER BYTES-PER-SECOND   serves files as a registry; 0 is no limit. GET /stats counts what was sent
//	load pull URL FILE FAST SLOW         pulls a blob with FAST clients, beside SLOW ones that read 1 MB/s,
//	                                     and compares each byte with the file
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	pieceBytes    = 128 << 10
	bufferBytes   = 256 << 10
	slowPerSecond = 1_000_000
	manifestType  = "application/vnd.oci.image.manifest.v1+json"
)

func main() {
	log.SetFlags(0)
	switch {
	case len(os.Args) == 4 && os.Args[1] == "serve":
		serve(os.Args[2], number(os.Args[3]))
	case len(os.Args) == 6 && os.Args[1] == "pull":
		pull(os.Args[2], os.Args[3], number(os.Args[4]), number(os.Args[5]))
	default:
		log.Fatal("usage: load serve FOLDER BYTES-PER-SECOND | load pull URL FILE FAST SLOW")
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		log.Fatal(err)
	}
	return n
}

var blobGets, blobBytes atomic.Int64

func serve(folder string, bytesPerSecond int) {
	link := &link{bytesPerSecond: bytesPerSecond}
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/stats":
			fmt.Fprintf(w, `{"gets":%d,"bytes":%d}`, blobGets.Load(), blobBytes.Load())
		case r.URL.Path == "/v2/":
			fmt.Fprint(w, "{}")
		default:
			serveFile(w, r, folder, link)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, http.HandlerFunc(handler)))
}

func serveFile(w http.ResponseWriter, r *http.Request, folder string, link *link) {
	file, err := os.Open(folder + r.URL.Path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer file.Close()
	if strings.Contains(r.URL.Path, "/blobs/") {
		w.Header().Set("Content-Type", "application/octet-stream")
		if r.Method == http.MethodGet {
			blobGets.Add(1)
			w = &limited{w, link}
		}
	} else {
		digest, _ := os.ReadFile(file.Name() + ".digest")
		w.Header().Set("Content-Type", manifestType)
		w.Header().Set("Docker-Content-Digest", string(digest))
	}
	http.ServeContent(w, r, "", time.Time{}, file)
}

// A link has one speed for all who use it.
type link struct {
	bytesPerSecond int
	lock           sync.Mutex
	free           time.Time
}

// wait returns when so many bytes may be sent. After a pause it lets a few go at once.
func (l *link) wait(n int64) {
	if l.bytesPerSecond == 0 {
		return
	}
	l.lock.Lock()
	if earliest := time.Now().Add(-20 * time.Millisecond); l.free.Before(earliest) {
		l.free = earliest
	}
	l.free = l.free.Add(time.Duration(n) * time.Second / time.Duration(l.bytesPerSecond))
	pause := time.Until(l.free)
	l.lock.Unlock()
	time.Sleep(pause)
}

// limited sends files by sendfile, in pieces.
type limited struct {
	http.ResponseWriter
	link *link
}

func (l *limited) ReadFrom(from io.Reader) (int64, error) {
	var sent int64
	source, end := from, int64(-1)
	if part, ok := from.(*io.LimitedReader); ok {
		source, end = part.R, part.N
	}
	for end < 0 || sent < end {
		n := int64(pieceBytes)
		if end >= 0 && end-sent < n {
			n = end - sent
		}
		l.link.wait(n)
		done, err := io.CopyN(l.ResponseWriter, source, n)
		blobBytes.Add(done)
		sent += done
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

type result struct {
	FirstByteMs []float64 `json:"firstByteMs"`
	DoneMs      []float64 `json:"doneMs"`
}

func pull(url, path string, fast, slow int) {
	file, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		log.Fatal(err)
	}
	want, err := syscall.Mmap(int(file.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		MaxConnsPerHost: 0, ReadBufferSize: bufferBytes, DisableKeepAlives: true, DisableCompression: true,
	}}
	for range slow {
		go read(client, url, want, slowPerSecond)
	}
	var all sync.WaitGroup
	results := make([][2]float64, fast)
	for i := range fast {
		all.Go(func() { results[i] = read(client, url, want, 0) })
	}
	all.Wait()
	var out result
	for _, each := range results {
		out.FirstByteMs = append(out.FirstByteMs, each[0])
		out.DoneMs = append(out.DoneMs, each[1])
	}
	json.NewEncoder(os.Stdout).Encode(out)
}

// read returns after how many milliseconds the first and the last byte came.
func read(client *http.Client, url string, want []byte, bytesPerSecond int) [2]float64 {
	began := time.Now()
	passed := func() float64 { return float64(time.Since(began).Microseconds()) / 1000 }
	response, err := client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		log.Fatalf("GET %s: %s", url, response.Status)
	}
	buffer := make([]byte, bufferBytes)
	first, at := 0.0, 0
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 && at == 0 {
			first = passed()
		}
		if at+n > len(want) || !bytes.Equal(buffer[:n], want[at:at+n]) {
			log.Fatalf("GET %s: wrong bytes after %d", url, at)
		}
		at += n
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatalf("GET %s: %v after %d bytes", url, err, at)
		}
		if bytesPerSecond > 0 {
			due := time.Duration(at) * time.Second / time.Duration(bytesPerSecond)
			time.Sleep(due - time.Since(began))
		}
	}
	if at != len(want) {
		log.Fatalf("GET %s: %d bytes, not %d", url, at, len(want))
	}
	return [2]float64{first, passed()}
}
