// Serves the files of a directory from memory with net/http, each under its name, with the headers in <name>.headers.
package main

import (
	"net/http"
	"os"
	"strings"
)

func main() {
	for _, name := range os.Args[3:] {
		body, _ := os.ReadFile(os.Args[2] + "/" + name)
		lines, _ := os.ReadFile(os.Args[2] + "/" + name + ".headers")
		headers := [][]string{}
		for _, line := range strings.Split(strings.TrimSpace(string(lines)), "\n") {
			key, value, _ := strings.Cut(line, ": ")
			headers = append(headers, []string{key, value})
		}
		http.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) {
			for _, header := range headers {
				w.Header().Set(header[0], header[1])
			}
			w.Write(body)
		})
	}
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
