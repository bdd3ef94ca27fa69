// gateway: reads a leaderboard as a gateway does, and prints what it keeps.
//
//	gateway URL REGION
//
// The document is a map from Ethereum addresses to maps from regions to maps from names to numbers; anything else in it
// fails the whole document. The status of the answer does not count. Of each orchestrator the score of one region is kept.
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

// address is an Ethereum address as the Ethereum libraries for Go decode it: 0x and 40 hexadecimal digits, in any case.
type address [20]byte

func (a *address) UnmarshalText(text []byte) error {
	written := string(text)
	if len(written) != 42 || (written[:2] != "0x" && written[:2] != "0X") {
		return fmt.Errorf("%q is no address", written)
	}
	_, err := hex.Decode(a[:], text[2:])
	return err
}

func main() {
	log.SetFlags(0)
	answer, err := http.Get(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	var document map[address]map[string]map[string]float64
	if err := json.Unmarshal(body, &document); err != nil {
		log.Fatalf("dropped: %v", err)
	}
	kept := map[string]float64{}
	for orchestrator, regions := range document {
		if score, ok := regions[strings.ToUpper(os.Args[2])]["score"]; ok {
			kept["0x"+hex.EncodeToString(orchestrator[:])] = score
		}
	}
	text, _ := json.Marshal(kept)
	fmt.Println(string(text))
}
