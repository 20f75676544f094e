package group

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

func newLogbook(t *testing.T) *logbook {
	b, err := openLogbook(filepath.Join(t.TempDir(), logFile), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// Entries of all sizes come back as they were, also in another life of the file.
func TestALogbookKeepsWhatItIsGiven(t *testing.T) {
	b := newLogbook(t)
	rng := rand.New(rand.NewPCG(1, 2))
	var logs []*raft.Log
	for i, size := range []int{0, 1, b.most - 40, b.most - 20, b.most - 10, b.most, b.most + 1, 2 * b.most, 3*b.most - 7, MaxEntry} {
		l := &raft.Log{Index: uint64(i + 5), Term: uint64(i * i), Type: raft.LogType(i % 3), Data: make([]byte, size)}
		for k := range l.Data {
			l.Data[k] = byte(rng.Uint32())
		}
		if i%2 == 0 {
			l.AppendedAt, l.Extensions = time.Unix(0, rng.Int64()), bytes.Repeat([]byte{7}, i*700)
		}
		if len(l.Extensions) == 0 {
			l.Extensions = nil
		}
		logs = append(logs, l)
	}
	if err := b.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
	if err := b.StoreLog(logs[len(logs)-1]); err != nil {
		t.Fatal(err)
	}
	path := b.db.Path()
	b.Close()
	b, err := openLogbook(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, want := range logs {
		got := &raft.Log{Term: 99, Data: []byte("of another entry")}
		if err := b.GetLog(want.Index, got); err != nil {
			t.Fatal(err)
		}
		if !got.AppendedAt.Equal(want.AppendedAt) || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("entry %d comes back different", want.Index)
		}
		got.AppendedAt, got.Data = want.AppendedAt, want.Data
		if !reflect.DeepEqual(got, want) {
			t.Errorf("entry %d comes back as %+v", want.Index, got)
		}
	}
}

// An entry that takes another one's place leaves nothing of it, and ranges end where
// they say.
func TestALogbookForgetsWhatItIsTold(t *testing.T) {
	b := newLogbook(t)
	bounds := func(first, last uint64) {
		t.Helper()
		f, err1 := b.FirstIndex()
		l, err2 := b.LastIndex()
		if f != first || l != last || err1 != nil || err2 != nil {
			t.Errorf("it holds %d to %d (%v, %v), want %d to %d", f, l, err1, err2, first, last)
		}
	}
	bounds(0, 0)
	for i := range uint64(10) {
		if err := b.StoreLog(&raft.Log{Index: i + 1, Data: make([]byte, 10_000)}); err != nil {
			t.Fatal(err)
		}
	}
	bounds(1, 10)
	if err := b.StoreLog(&raft.Log{Index: 4, Data: []byte("short")}); err != nil {
		t.Fatal(err)
	}
	var l raft.Log
	if err := b.GetLog(4, &l); err != nil || string(l.Data) != "short" {
		t.Errorf("the new entry is %d bytes, %v", len(l.Data), err)
	}
	if err := errors.Join(b.DeleteRange(1, 3), b.DeleteRange(8, 10)); err != nil {
		t.Fatal(err)
	}
	bounds(4, 7)
	for _, i := range []uint64{0, 3, 8, 11} {
		if err := b.GetLog(i, &l); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	for i := uint64(5); i <= 7; i++ {
		if err := b.GetLog(i, &l); err != nil || len(l.Data) != 10_000 {
			t.Errorf("entry %d: %d bytes, %v", i, len(l.Data), err)
		}
	}
	if err := b.DeleteRange(0, 100); err != nil {
		t.Fatal(err)
	}
	bounds(0, 0)
}

func TestALogOfAnEarlierBuildIsNotTakenForANewOne(t *testing.T) {
	b := newLogbook(t)
	err := b.db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(formerBucket)
		return err
	})
	path := b.db.Path()
	b.Close()
	if again, openErr := openLogbook(path, nil); err != nil || !errors.Is(openErr, errFormer) {
		t.Errorf("%v, opened: %v, %v", err, again, openErr)
	}
}

func TestALogbookKeepsTheVote(t *testing.T) {
	b := newLogbook(t)
	if _, err := b.Get(termKey); !errors.Is(err, errNotFound) || err.Error() != "not found" {
		t.Errorf("Raft takes this for a failure: %v", err)
	}
	if _, err := b.GetUint64(termKey); !errors.Is(err, errNotFound) || err.Error() != "not found" {
		t.Errorf("Raft takes this for a failure: %v", err)
	}
	if err := errors.Join(b.SetUint64(termKey, 7), b.Set(voteKey, []byte("me"))); err != nil {
		t.Fatal(err)
	}
	n, err := b.GetUint64(termKey)
	vote, err2 := b.Get(voteKey)
	if n != 7 || string(vote) != "me" || err != nil || err2 != nil {
		t.Errorf("%d %q %v %v", n, vote, err, err2)
	}
	if _, err := b.GetUint64(voteKey); err == nil {
		t.Error("a vote is no number")
	}
}
