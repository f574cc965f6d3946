// A memory checker for `cargo xtask sweep`, loaded before a program by LD_PRELOAD (Linux).
//
// Every aligned allocation, which is how libtorch gets its tensors and oneDNN its scratch, ends where a page ends and has pages
// after it and one before it that nobody may touch; once freed nobody may touch any of it. An access there is written to
// standard output as one line, "fault <read|write> <past|before|freed> <bytes off> of <size>", and then let through, so that one
// process can go on to the next case. Fresh memory is full of numbers that are not numbers. Not a tool for anything else:
// addresses are never used twice.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define AFTER ((size_t)16)           // pages
#define REGION ((size_t)1 << 38)     // bytes of addresses
#define ALIGNMENT ((size_t)64)       // of a cache line; what asks for more can do with this
#define CANARY 0xA5

extern void* __libc_malloc(size_t);
extern void __libc_free(void*);
extern void* __libc_realloc(void*, size_t);

typedef struct {
  uint8_t* data;
  size_t size;
  int is_freed;
} Block;

static uint8_t* region;
static Block* blocks;  // one a page: the block that it belongs to
static _Atomic size_t used;

static int is_ours(const void* address) {
  return region && (const uint8_t*)address >= region && (const uint8_t*)address < region + REGION;
}

static Block* block_of(const void* address) { return &blocks[((const uint8_t*)address - region) / PAGE]; }

static size_t pages_of(size_t size) { return (size + PAGE - 1) / PAGE; }

static void say(const char* access, const char* where, long off, size_t size) {
  char line[128];
  int length = snprintf(line, sizeof line, "fault %s %s %ld of %zu\n", access, where, off, size);
  if (write(1, line, (size_t)length) < 0) _exit(99);
}

static void on_fault(int number, siginfo_t* info, void* context) {
  uint8_t* address = info->si_addr;
  Block* block = is_ours(address) ? block_of(address) : NULL;
  if (!block || !block->data) {
    signal(number, SIG_DFL);
    return;
  }
  const char* access = "access";
#ifdef __x86_64__
  access = ((ucontext_t*)context)->uc_mcontext.gregs[REG_ERR] & 2 ? "write" : "read";
#else
  (void)context;
#endif
  uint8_t* end = block->data + block->size;
  uint8_t* page = (uint8_t*)((uintptr_t)address & ~(PAGE - 1));
  int may = access[0] == 'r' ? PROT_READ : PROT_READ | PROT_WRITE;
  if (block->is_freed) {
    say(access, "freed", address - block->data, block->size);
    mprotect(page, PAGE, PROT_READ | PROT_WRITE);
  } else if (address >= end) {
    say(access, "past", address - end, block->size);
    uint8_t* guard = (uint8_t*)(((uintptr_t)end + PAGE - 1) & ~(PAGE - 1));
    mprotect(guard, AFTER * PAGE, may);
  } else {
    say(access, "before", address - block->data, block->size);
    mprotect(page, PAGE, may);
  }
}

__attribute__((constructor)) static void begin(void) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  blocks = mmap(NULL, REGION / PAGE * sizeof(Block), PROT_READ | PROT_WRITE, flags, -1, 0);
  uint8_t* addresses = mmap(NULL, REGION, PROT_NONE, flags, -1, 0);
  if (blocks == MAP_FAILED || addresses == MAP_FAILED) _exit(98);
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGSEGV, &action, NULL);
  region = addresses;
}

static void* guarded(size_t size) {
  size_t pages = pages_of(size ? size : 1);
  size_t total = pages + AFTER + 1;
  size_t first = atomic_fetch_add(&used, total);
  if (first + total > REGION / PAGE) {
    errno = ENOMEM;
    return NULL;
  }
  uint8_t* start = region + (first + 1) * PAGE;
  if (mprotect(start, pages * PAGE, PROT_READ | PROT_WRITE)) return NULL;
  uint8_t* data = start + ((pages * PAGE - size) & ~(ALIGNMENT - 1));
  Block block = {data, size, 0};
  for (size_t page = first; page < first + total; page++) blocks[page] = block;
  memset(start, CANARY, (size_t)(data - start));
  memset(data, 0xFF, size);
  memset(data + size, CANARY, (size_t)(start + pages * PAGE - data) - size);
  return data;
}

static void release(uint8_t* data) {
  Block block = *block_of(data);
  if (block.data != data || block.is_freed) {
    say("write", "freed", data - block.data, block.size);
    return;
  }
  uint8_t* start = (uint8_t*)((uintptr_t)data & ~(PAGE - 1));
  size_t pages = pages_of(block.size ? block.size : 1);
  uint8_t* end = start + pages * PAGE;
  for (uint8_t* byte = data + block.size; byte < end; byte++)
    if (*byte != CANARY) {
      say("write", "past", byte - data - (long)block.size, block.size);
      break;
    }
  for (uint8_t* byte = data; byte-- > start;)
    if (*byte != CANARY) {
      say("write", "before", byte - data, block.size);
      break;
    }
  uint8_t* low = start - PAGE;
  for (size_t page = (size_t)(low - region) / PAGE, last = page + pages + AFTER + 1; page < last; page++) blocks[page].is_freed = 1;
  mprotect(low, (pages + AFTER + 1) * PAGE, PROT_NONE);
  madvise(low, (pages + AFTER + 1) * PAGE, MADV_DONTNEED);
}

int posix_memalign(void** result, size_t alignment, size_t size) {
  (void)alignment;
  void* data = region ? guarded(size) : __libc_malloc(size);
  if (!data) return ENOMEM;
  *result = data;
  return 0;
}

void* aligned_alloc(size_t alignment, size_t size) {
  void* data = NULL;
  return posix_memalign(&data, alignment, size) ? NULL : data;
}

void* memalign(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }

void free(void* data) {
  if (is_ours(data))
    release(data);
  else
    __libc_free(data);
}

void* realloc(void* data, size_t size) {
  if (!is_ours(data)) return __libc_realloc(data, size);
  size_t before = block_of(data)->size;
  void* moved = __libc_malloc(size);
  if (moved) {
    memcpy(moved, data, before < size ? before : size);
    release(data);
  }
  return moved;
}

size_t malloc_usable_size(void* data) {
  static size_t (*other)(void*);
  if (is_ours(data)) return block_of(data)->size;
  if (!other) other = (size_t (*)(void*))dlsym(RTLD_NEXT, "malloc_usable_size");
  return data ? other(data) : 0;
}
