// Command oracle checks a running log, or one that was exported, with code that is not Ordo's: the checksum database
// of Go (golang.org/x/mod/sumdb) and the proof format of transparency.dev.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Tiles of tlog-tiles are eight levels high.
const height = 8

var (
	prefix  = flag.String("log", "", "address of the log, such as http://localhost:3000/v1/audit/log")
	key     = flag.String("key", "", "verifier key of the log")
	token   = flag.String("token", "", "access token for entries and proofs; without it they are left out")
	earlier = flag.String("earlier", "", "file with an earlier checkpoint")
	random  = flag.Int("random", 20, "random leaves and sizes to prove from tiles")
)

// The arguments are addresses of proofs of events.
func main() {
	flag.Parse()
	if err := check(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(proofs []string) error {
	verifier, err := note.NewVerifier(*key)
	if err != nil {
		return err
	}
	signed, err := get(*prefix+"/checkpoint", "")
	if err != nil {
		return err
	}
	tree, err := open(signed, verifier)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, tiles{})
	if err := leaves(tree, reader); err != nil {
		return err
	}
	if err := growth(tree, reader, verifier); err != nil {
		return err
	}
	for _, address := range proofs {
		if err := event(address, verifier); err != nil {
			return fmt.Errorf("%s: %w", address, err)
		}
	}
	if err := entries(tree, reader); err != nil {
		return err
	}
	fmt.Printf("agreed: %d leaves, %d proofs of events\n", tree.N, len(proofs))
	return nil
}

// leaves proves some leaves from tiles, which the reader holds against the root of the tree.
func leaves(tree tlog.Tree, reader tlog.HashReader) error {
	for i := 0; i < *random && tree.N > 0; i++ {
		n := rand.Int63n(tree.N)
		hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
		if err != nil {
			return err
		}
		path, err := tlog.ProveRecord(tree.N, n, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(path, tree.N, tree.Hash, n, hashes[0]); err != nil {
			return err
		}
	}
	return nil
}

// growth checks the service's proofs of consistency against roots that are computed from tiles, and the earlier checkpoint.
func growth(tree tlog.Tree, reader tlog.HashReader, verifier note.Verifier) error {
	if *earlier != "" {
		signed, err := os.ReadFile(*earlier)
		if err != nil {
			return err
		}
		before, err := open(signed, verifier)
		if err != nil {
			return err
		}
		root, err := tlog.TreeHash(before.N, reader)
		if err != nil {
			return err
		}
		if root != before.Hash {
			return errors.New("the log does not continue the earlier checkpoint")
		}
	}
	for i := 0; i < *random && tree.N > 0; i++ {
		first := 1 + rand.Int63n(tree.N)
		root, err := tlog.TreeHash(first, reader)
		if err != nil {
			return err
		}
		own, err := tlog.ProveTree(tree.N, first, reader)
		if err != nil {
			return err
		}
		answer, err := get(fmt.Sprintf("%s/consistency?first=%d&second=%d", *prefix, first, tree.N), "")
		if errors.Is(err, errNotFound) {
			// A folder of files has no such thing: the tiles are all it takes.
			if err := tlog.CheckTree(own, tree.N, tree.Hash, first, root); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		var given struct{ Hashes [][]byte }
		if err := json.Unmarshal(answer, &given); err != nil {
			return err
		}
		var path tlog.TreeProof
		for _, hash := range given.Hashes {
			path = append(path, tlog.Hash(hash))
		}
		if err := tlog.CheckTree(path, tree.N, tree.Hash, first, root); err != nil {
			return fmt.Errorf("consistency of %d and %d: %w", first, tree.N, err)
		}
		if fmt.Sprint(path) != fmt.Sprint(own) {
			return fmt.Errorf("consistency of %d and %d: not the proof that Go makes", first, tree.N)
		}
	}
	return nil
}

// event checks one proof as JSON and as text.
func event(address string, verifier note.Verifier) error {
	body, err := get(address, "application/json")
	if err != nil {
		return err
	}
	var given struct {
		LeafIndex, TreeSize int64
		LeafHash, Entry     []byte
		Hashes              [][]byte
		Checkpoint          string
	}
	if err := json.Unmarshal(body, &given); err != nil {
		return err
	}
	tree, err := open([]byte(given.Checkpoint), verifier)
	if err != nil {
		return err
	}
	leaf := tlog.RecordHash(given.Entry)
	if tree.N != given.TreeSize || leaf != tlog.Hash(given.LeafHash) {
		return errors.New("size or leaf are not those of checkpoint and entry")
	}
	var path tlog.RecordProof
	for _, hash := range given.Hashes {
		path = append(path, tlog.Hash(hash))
	}
	if err := tlog.CheckRecord(path, tree.N, tree.Hash, given.LeafIndex, leaf); err != nil {
		return err
	}
	return text(address, verifier)
}

func text(address string, verifier note.Verifier) error {
	body, err := get(address, "text/plain")
	if err != nil {
		return err
	}
	var given proof.TLogProof
	if err := given.Unmarshal(body); err != nil {
		return err
	}
	tree, err := open(given.Checkpoint, verifier)
	if err != nil {
		return err
	}
	var path tlog.RecordProof
	for _, hash := range given.Hashes {
		path = append(path, hash)
	}
	return tlog.CheckRecord(path, tree.N, tree.Hash, int64(given.Index), tlog.RecordHash(given.ExtraData))
}

// entries compares every entry with the leaf that the tiles hold.
func entries(tree tlog.Tree, reader tlog.HashReader) error {
	for first := int64(0); *token != "" && first < tree.N; first += 1 << height {
		tile := tlog.Tile{H: height, L: -1, N: first >> height, W: int(min(tree.N-first, 1<<height))}
		bundle, err := get(*prefix+"/"+strings.Replace(tile.Path(), "tile/8/data", "tile/entries", 1), "")
		if err != nil {
			return err
		}
		for n := first; n < first+int64(tile.W); n++ {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return fmt.Errorf("leaf %d: the bundle is cut short", n)
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
			if err != nil {
				return err
			}
			if tlog.RecordHash(bundle[2:end]) != hashes[0] {
				return fmt.Errorf("leaf %d: not the hash of its entry", n)
			}
			bundle = bundle[end:]
		}
		if len(bundle) > 0 {
			return fmt.Errorf("%d bytes behind the entries from %d on", len(bundle), first)
		}
	}
	return nil
}

// open reads a checkpoint that the verifier vouches for.
func open(signed []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 3 || lines[0] != verifier.Name() {
		return tlog.Tree{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != sha256.Size {
		return tlog.Tree{}, errors.New("not a root")
	}
	return tlog.Tree{N: size, Hash: tlog.Hash(root)}, nil
}

// tiles reads tiles over HTTP. Go names their height in the path, tlog-tiles does not: it is always eight.
// Go hands back those that it has verified.
type tiles map[tlog.Tile][]byte

func (tiles) Height() int { return height }

func (known tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		if bytes, ok := known[tile]; ok {
			all = append(all, bytes)
			continue
		}
		bytes, err := get(*prefix+"/"+strings.Replace(tile.Path(), "tile/8/", "tile/", 1), "")
		if err != nil {
			return nil, err
		}
		all = append(all, bytes)
	}
	return all, nil
}

func (known tiles) SaveTiles(verified []tlog.Tile, bytes [][]byte) {
	for i, tile := range verified {
		known[tile] = bytes[i]
	}
}

var errNotFound = errors.New("not found")

func get(address, accept string) ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	if *token != "" {
		request.Header.Set("Authorization", "Bearer "+*token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%s: %w", address, errNotFound)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", address, response.Status)
	}
	return body, err
}
