package group

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/skein-mesh/skein/region"
)

var (
	logBucket  = []byte("log")
	voteBucket = []byte("vote")
	// formerBucket is where earlier builds kept the log.
	formerBucket = []byte("logs")
	errFormer    = errors.New("it holds a log of an earlier build, which this one does not read")
	// errNotFound: there is no such value. Raft knows it by its words.
	errNotFound = errors.New("not found")
)

// A logbook is a disk in a bbolt file. Entries are kept in parts of which two fill a
// page: bbolt keeps up to four values together however big they are, and writes all of
// them anew, in memory that it asks for anew, when another one comes.
type logbook struct {
	db   *bbolt.DB
	most int // bytes of a part
}

// partsPerLeaf is the least number of values that bbolt puts on a page, and pageHeader
// and valueHeader what it adds to a page and to a value.
const partsPerLeaf, pageHeader, valueHeader = 2, 16, 16

func openLogbook(path string, options *bbolt.Options) (*logbook, error) {
	db, err := bbolt.Open(path, 0o600, options)
	if err != nil {
		return nil, err
	}
	b := &logbook{db: db, most: (db.Info().PageSize-pageHeader)/partsPerLeaf - valueHeader - keyLength}
	err = db.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(formerBucket) != nil {
			return errFormer // an empty log beside it would have forgotten its vote
		}
		_, err := tx.CreateBucketIfNotExists(logBucket)
		if err == nil {
			_, err = tx.CreateBucketIfNotExists(voteBucket)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return b, nil
}

func (b *logbook) Close() error { return b.db.Close() }

// The key of a part is its entry's index, 8 bytes, and the part's number, 4 bytes.
const keyLength = 12

func keyOf(index uint64, part int) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(make([]byte, 0, keyLength), index), uint32(part))
}

func indexOf(key []byte) uint64 { return binary.BigEndian.Uint64(key) }

// FirstIndex is part of raft.LogStore.
func (b *logbook) FirstIndex() (index uint64, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		if key, _ := tx.Bucket(logBucket).Cursor().First(); key != nil {
			index = indexOf(key)
		}
		return nil
	})
	return index, err
}

// LastIndex is part of raft.LogStore.
func (b *logbook) LastIndex() (index uint64, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		if key, _ := tx.Bucket(logBucket).Cursor().Last(); key != nil {
			index = indexOf(key)
		}
		return nil
	})
	return index, err
}

// StoreLog is part of raft.LogStore.
func (b *logbook) StoreLog(l *raft.Log) error { return b.StoreLogs([]*raft.Log{l}) }

// StoreLogs is part of raft.LogStore. All entries are on disk when it returns, or none.
func (b *logbook) StoreLogs(logs []*raft.Log) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(logBucket)
		bucket.FillPercent = 1 // nothing ever comes in between
		for _, l := range logs {
			if err := b.put(bucket, l); err != nil {
				return err
			}
		}
		return nil
	})
}

// put stores an entry, in place of any that has its index.
func (b *logbook) put(bucket *bbolt.Bucket, l *raft.Log) error {
	if err := drop(bucket, l.Index, l.Index); err != nil {
		return err
	}
	rest := l.Data
	first := appendLog(make([]byte, 0, b.most), l)
	n := min(max(b.most-len(first), 0), len(rest))
	if err := bucket.Put(keyOf(l.Index, 0), append(first, rest[:n]...)); err != nil {
		return err
	}
	rest = rest[n:]
	for part := 1; len(rest) > 0; part++ {
		n := min(b.most, len(rest))
		if err := bucket.Put(keyOf(l.Index, part), rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// GetLog is part of raft.LogStore.
func (b *logbook) GetLog(index uint64, l *raft.Log) error {
	return b.db.View(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(logBucket).Cursor()
		key, value := cursor.Seek(keyOf(index, 0))
		if key == nil || indexOf(key) != index {
			return raft.ErrLogNotFound
		}
		data, size, err := readLog(value, l)
		if err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		l.Index, l.Data = index, slices.Grow([]byte(nil), size)
		for part := 0; bytes.Equal(key, keyOf(index, part)); part++ {
			l.Data = append(l.Data, data...)
			key, value = cursor.Next()
			data = value
		}
		if len(l.Data) != size {
			return fmt.Errorf("entry %d: %w: %d bytes of %d", index, region.ErrInvalid, len(l.Data), size)
		}
		return nil
	})
}

// DeleteRange is part of raft.LogStore.
func (b *logbook) DeleteRange(first, last uint64) error {
	return b.db.Update(func(tx *bbolt.Tx) error { return drop(tx.Bucket(logBucket), first, last) })
}

// drop deletes all parts of the entries from first to last.
func drop(bucket *bbolt.Bucket, first, last uint64) error {
	cursor, from := bucket.Cursor(), keyOf(first, 0)
	for key, _ := cursor.Seek(from); key != nil && indexOf(key) <= last; key, _ = cursor.Seek(from) {
		if err := cursor.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// logVersion is the first byte of every entry.
const logVersion = 1

// appendLog encodes an entry but for its index and data: version, type, and as numbers
// its term, when it was made (0: not known), and the lengths of data and extensions.
func appendLog(b []byte, l *raft.Log) []byte {
	b = append(b, logVersion, byte(l.Type))
	b = binary.AppendUvarint(b, l.Term)
	made := int64(0)
	if !l.AppendedAt.IsZero() {
		made = l.AppendedAt.UnixNano()
	}
	b = binary.AppendVarint(b, made)
	b = binary.AppendUvarint(b, uint64(len(l.Data)))
	b = binary.AppendUvarint(b, uint64(len(l.Extensions)))
	return append(b, l.Extensions...)
}

// readLog reads what appendLog has written into l. It returns what follows, which is data,
// and how much data there is in all.
func readLog(b []byte, l *raft.Log) (data []byte, size int, err error) {
	if len(b) < 2 || b[0] != logVersion {
		return nil, 0, fmt.Errorf("%w: not of version %d", region.ErrInvalid, logVersion)
	}
	*l = raft.Log{Type: raft.LogType(b[1])}
	b = b[2:]
	good := true
	skip := func(n int) {
		good = good && n > 0
		b = b[max(n, 0):]
	}
	term, n := binary.Uvarint(b)
	skip(n)
	made, n := binary.Varint(b)
	skip(n)
	length, n := binary.Uvarint(b)
	skip(n)
	extensions, n := binary.Uvarint(b)
	skip(n)
	if !good || extensions > uint64(len(b)) || length > 1<<30 {
		return nil, 0, fmt.Errorf("%w: the beginning is damaged", region.ErrInvalid)
	}
	l.Term = term
	if made != 0 {
		l.AppendedAt = time.Unix(0, made)
	}
	if extensions > 0 {
		l.Extensions = slices.Clone(b[:extensions])
	}
	return b[extensions:], int(length), nil
}

// Set is part of raft.StableStore.
func (b *logbook) Set(key, value []byte) error {
	return b.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(voteBucket).Put(key, value) })
}

// Get is part of raft.StableStore.
func (b *logbook) Get(key []byte) (value []byte, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		if value = slices.Clone(tx.Bucket(voteBucket).Get(key)); value == nil {
			return errNotFound
		}
		return nil
	})
	return value, err
}

// SetUint64 is part of raft.StableStore.
func (b *logbook) SetUint64(key []byte, n uint64) error {
	return b.Set(key, binary.BigEndian.AppendUint64(nil, n))
}

// GetUint64 is part of raft.StableStore.
func (b *logbook) GetUint64(key []byte) (uint64, error) {
	value, err := b.Get(key)
	if err == nil && len(value) != 8 {
		err = fmt.Errorf("%s: %w: %d bytes instead of 8", key, region.ErrInvalid, len(value))
	}
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(value), nil
}
