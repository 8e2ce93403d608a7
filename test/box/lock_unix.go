//go:build unix

package box

import (
	"os"
	"syscall"
)

// lock waits until nobody else has the lock of this name, and calls waiting if
// somebody does. The system takes it back from a process that dies.
func lock(name string, waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	fd := int(file.Fd())
	if syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		waiting()
		for err = syscall.EINTR; err == syscall.EINTR; {
			err = syscall.Flock(fd, syscall.LOCK_EX)
		}
		if err != nil {
			file.Close()
			return nil, err
		}
	}
	return func() { file.Close() }, nil
}
