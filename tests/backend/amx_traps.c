/* The tile instructions of Intel AMX for a CPU that has none: each traps as an illegal
   instruction, is decoded, done in C, and stepped over. What the CPU would refuse is refused.

   Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, the pages of
   LDTILECFG, TILELOADD, TILESTORED, TILEZERO, TILERELEASE and TDPBUSD. */

#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

enum { TILES = 8, ROWS = 16, BYTES = 64 };

static __thread struct {
  int configured;
  int bytes[TILES], rows[TILES];
  uint8_t data[TILES][ROWS][BYTES];
} state;

static struct sigaction before;
static long done;

static const int registers[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                  REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                  REG_R12, REG_R13, REG_R14, REG_R15};

typedef struct {
  int opcode, prefix; /* prefix: 0 none, 1 0x66, 2 0xf3, 3 0xf2 */
  int reg, rm, vvvv, memory, length;
  uint64_t address, stride;
} Instruction;

/* Read a VEX.128.0F38.W0 instruction; return 0 if it is none. */
static int decode(const uint8_t* p, const greg_t* g, Instruction* i) {
  if (p[0] != 0xc4 || (p[1] & 31) != 2 || (p[2] & 0x84)) return 0;
  int r = !(p[1] & 0x80) << 3, x = !(p[1] & 0x40) << 3, b = !(p[1] & 0x20) << 3;
  int mod = p[4] >> 6, low = p[4] & 7, at = 5, base = low | b;
  i->prefix = p[2] & 3;
  i->vvvv = (~p[2] >> 3) & 15;
  i->opcode = p[3];
  i->reg = (p[4] >> 3 & 7) | r;
  i->rm = base;
  i->memory = mod != 3;
  i->address = i->stride = 0;
  if (i->memory) {
    int displacement = mod == 1 ? 1 : mod == 2 ? 4 : 0, relative = 0;
    if (low == 4) {
      int index = (p[at] >> 3 & 7) | x;
      if (index != 4) i->stride = (uint64_t)g[registers[index]] << (p[at] >> 6);
      base = (p[at] & 7) | b;
      if (mod == 0 && (p[at] & 7) == 5) base = -1, displacement = 4;
      at++;
    } else if (low == 5 && mod == 0) {
      relative = 1, base = -1, displacement = 4;
    }
    if (base >= 0) i->address = g[registers[base]];
    if (displacement == 1) i->address += (int8_t)p[at];
    if (displacement == 4) {
      int32_t value;
      memcpy(&value, p + at, 4);
      i->address += value;
    }
    at += displacement;
    if (relative) i->address += (uint64_t)p + at;
  }
  i->length = at;
  return 1;
}

static int configure(const uint8_t* c) {
  memset(&state, 0, sizeof state);
  if (c[0] == 0) return 1;
  if (c[0] != 1) return 0;
  for (int k = 1; k < 64; k++) /* start_row is for a load that was interrupted */
    if ((k < 16 || (k >= 32 && k < 48) || k >= 56) && c[k]) return 0;
  for (int t = 0; t < TILES; t++) {
    state.bytes[t] = c[16 + 2 * t] | c[17 + 2 * t] << 8;
    state.rows[t] = c[48 + t];
    if (state.bytes[t] > BYTES || state.rows[t] > ROWS) return 0;
    if (!state.bytes[t] != !state.rows[t]) return 0;
  }
  return state.configured = 1;
}

static int multiply(int c, int a, int b) {
  int rows = state.rows[c], depth = state.bytes[a] / 4, columns = state.bytes[c] / 4;
  if (c == a || c == b || a == b || state.bytes[c] % 4 || state.bytes[a] % 4) return 0;
  if (state.rows[a] != rows || state.rows[b] != depth || state.bytes[b] != 4 * columns) return 0;
  for (int m = 0; m < rows; m++)
    for (int n = 0; n < columns; n++) {
      uint32_t sum; /* wraps around */
      memcpy(&sum, state.data[c][m] + 4 * n, 4);
      for (int k = 0; k < 4 * depth; k++)
        sum += state.data[a][m][k] * (int8_t)state.data[b][k / 4][4 * n + k % 4];
      memcpy(state.data[c][m] + 4 * n, &sum, 4);
    }
  return 1;
}

static int run(const Instruction* i) {
  if (i->opcode == 0x49 && i->prefix == 0 && i->reg == 0 && i->memory) {
    /* the address of its operand has an index that is no stride */
    return configure((const uint8_t*)(i->address + i->stride));
  }
  if (i->opcode == 0x49 && i->prefix == 0 && i->reg == 0 && i->rm == 0)
    return memset(&state, 0, sizeof state) != 0;
  if (!state.configured || i->reg >= TILES || !state.rows[i->reg]) return 0;
  int rows = state.rows[i->reg], bytes = state.bytes[i->reg];
  uint8_t(*tile)[BYTES] = state.data[i->reg];
  if (i->opcode == 0x49 && i->prefix == 3 && !i->memory) {
    memset(tile, 0, sizeof state.data[0]);
  } else if (i->opcode == 0x4b && i->memory && (i->prefix == 3 || i->prefix == 1)) {
    memset(tile, 0, sizeof state.data[0]);
    for (int m = 0; m < rows; m++)
      memcpy(tile[m], (const void*)(i->address + m * i->stride), bytes);
  } else if (i->opcode == 0x4b && i->memory && i->prefix == 2) {
    for (int m = 0; m < rows; m++) memcpy((void*)(i->address + m * i->stride), tile[m], bytes);
  } else if (i->opcode == 0x5e && !i->memory && i->prefix == 1) {
    return i->rm < TILES && i->vvvv < TILES && multiply(i->reg, i->rm, i->vvvv);
  } else {
    return 0;
  }
  return 1;
}

static void trap(int number, siginfo_t* info, void* context) {
  (void)number, (void)info;
  greg_t* g = ((ucontext_t*)context)->uc_mcontext.gregs;
  Instruction i;
  if (decode((const uint8_t*)g[REG_RIP], g, &i) && run(&i)) {
    g[REG_RIP] += i.length;
    __atomic_fetch_add(&done, 1, __ATOMIC_RELAXED);
  } else {
    sigaction(SIGILL, &before, 0); /* it comes again, and this time it kills */
  }
}

/* Catch the instructions from now on; return -1, and catch none, where they do not trap: a system
   that refuses tiles lets LDTILECFG pass. */
int install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = trap;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  if (sigaction(SIGILL, &action, &before)) return -1;
  uint8_t config[64] = {1};
  __asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0x00" : : "a"(config) : "memory"); /* LDTILECFG */
  __asm__ volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0" : : : "memory"); /* TILERELEASE */
  if (done == 2) return 0;
  sigaction(SIGILL, &before, 0);
  return -1;
}

long count(void) { return done; }
